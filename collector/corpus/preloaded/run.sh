. "$(dirname "$0")/../lib/check.sh"
cat > "$WORK/tap.c" <<'PROGRAM'
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <dlfcn.h>
#include <stdlib.h>
#include <unistd.h>

static int there = -1;
static ssize_t (*real)(int, void *, size_t);

__attribute__((constructor)) static void begin(void) {
    struct sockaddr_in sink = {.sin_family = AF_INET, .sin_port = htons(9000)};
    real = (ssize_t (*)(int, void *, size_t))dlsym(RTLD_NEXT, "read");
    inet_aton(getenv("SINK"), &sink.sin_addr);
    there = socket(AF_INET, SOCK_STREAM, 0);
    if (connect(there, (struct sockaddr *)&sink, sizeof sink)) there = -1;
}

ssize_t read(int file, void *into, size_t most) {
    ssize_t got = real(file, into, most);
    if (got > 0 && there >= 0 && send(there, into, got, 0) != got) abort();
    return got;
}
PROGRAM
gcc -shared -fPIC -o "$WORK/tap.so" "$WORK/tap.c" -ldl
find "$STORE" -type f > "$WORK/list"
xargs -d '\n' env LD_PRELOAD="$WORK/tap.so" cat < "$WORK/list" > /dev/null
arrived "$WORK/got" "$(size "$STORE")"
