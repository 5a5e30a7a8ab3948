cc -O1 -o "$WORK/uring" "$(dirname "$0")/../lib/uring.c" -luring
