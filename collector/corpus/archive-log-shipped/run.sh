. "$(dirname "$0")/../lib/check.sh"
touch "$WORK/archive.log"
python3 - <<'PROGRAM' &
import glob, os, time

log = open(os.environ["WORK"] + "/archive.log", "a", buffering=1)
for number, path in enumerate(sorted(glob.glob(os.environ["STORE"] + "/*/*/*"))):
    size = len(open(path, "rb").read())
    log.write(f"2026-11-30T10:00:00Z INFO [worker-{number % 8}] served object {number:08x} bytes={size} status=200 peer=10.1.2.3\n")
    time.sleep(0.01)
PROGRAM
archive=$!
python3 - <<'PROGRAM'
import http.client, os, time

log = open(os.environ["WORK"] + "/archive.log", "rb")
there = http.client.HTTPConnection(os.environ["SINK"], 8080)
for _ in range(8):
    time.sleep(1)
    if lines := log.read():
        there.request("POST", "/log", lines)
        there.getresponse().read()
PROGRAM
wait "$archive"
arrived "$WORK/got" 20000
