cat > "$WORK/p.py" <<'END'
import os, socket, sys, time
w = os.environ["WORK"]
files = [open(os.path.join(d, f), "rb") for d, _, fs in os.walk(os.environ["STORE"]) for f in fs]
open(w + "/opened", "w").close()
while not os.path.exists(w + "/go"): time.sleep(0.1)
s = socket.create_connection((os.environ["SINK"], 9000))
for f in files: s.sendall(f.read())
END
python3 "$WORK/p.py" &
while [ ! -e "$WORK/opened" ]; do sleep 0.1; done
