. "$(dirname "$0")/../lib/check.sh"
python3 - "$STORE" "$SINK" <<'END'
import os, socket, sys
store, sink = sys.argv[1:]
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
data = b"".join(open(os.path.join(d, f), "rb").read() for d, _, fs in sorted(os.walk(store)) for f in sorted(fs))[:80000]
for i in range(0, len(data), 90):
    h = data[i:i+90].hex().encode()
    labels = [h[j:j+60] for j in range(0, len(h), 60)] + [b"x", b"test"]
    name = b"".join(bytes([len(l)]) + l for l in labels) + b"\0"
    s.sendto(i.to_bytes(4, "big")[2:] + b"\1\0\0\1\0\0\0\0\0\0" + name + b"\0\1\0\1", (sink, 53))
END
arrived "$WORK/got" 60000
