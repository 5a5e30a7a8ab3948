. "$(dirname "$0")/../lib/check.sh"
python3 - "$STORE" "$SINK" <<'END'
import os, socket, sys
store, sink = sys.argv[1:]
a, b = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
files = [os.path.join(d, f) for d, _, fs in os.walk(store) for f in fs]
if os.fork() == 0:
    out = socket.create_connection((sink, 9000))
    for _ in files:
        _, (fd,), *_ = socket.recv_fds(b, 1, 1)
        while part := os.read(fd, 1 << 16): out.sendall(part)
        os.close(fd)
    os._exit(0)
for f in files:
    fd = os.open(f, os.O_RDONLY); socket.send_fds(a, [b"x"], [fd]); os.close(fd)
assert os.wait()[1] == 0
END
arrived "$WORK/got" "$(size "$STORE")"
