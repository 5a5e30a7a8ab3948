. "$(dirname "$0")/../lib/check.sh"
python3 - > "$WORK/sent" <<'PROGRAM'
import glob, os, socket

sent = 0
for number, path in enumerate(sorted(glob.glob(os.environ["STORE"] + "/*/*/*"))[:400]):
    record = open(path, "rb").read()[:9000]
    with socket.create_connection((os.environ["SINK"], 20000 + number)) as there:
        there.sendall(record)
    sent += len(record)
print(sent)
PROGRAM
arrived "$WORK/got" "$(cat "$WORK/sent")"
