. "$(dirname "$0")/../lib/check.sh"
python3 - <<'PROGRAM'
import glob, os, socket

paths = glob.glob(os.environ["STORE"] + "/*/*/*")
for _ in range(30):
    records = b"".join(open(path, "rb").read() for path in paths)
with socket.create_connection((os.environ["SINK"], 9000)) as there:
    there.sendall(records)
PROGRAM
arrived "$WORK/got" "$(size "$STORE")"
