. "$(dirname "$0")/../lib/check.sh"
python3 - "$STORE" "$SINK" <<'END'
import os, socket, sys, time
store, sink = sys.argv[1:]
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
for d, _, fs in os.walk(store):
    for f in fs:
        data = open(os.path.join(d, f), "rb").read()
        for i in range(0, len(data), 1200): s.sendto(data[i:i+1200], (sink, 53)); time.sleep(0.0005)
END
arrived "$WORK/got" 100000
