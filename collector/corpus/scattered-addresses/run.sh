. "$(dirname "$0")/../lib/check.sh"
ip route add 203.0.113.0/24 via "$SINK"
python3 - > "$WORK/sent" <<'PROGRAM'
import glob, os, socket

sent = 0
for number, path in enumerate(sorted(glob.glob(os.environ["STORE"] + "/*/*/*"))[:250]):
    record = open(path, "rb").read()[:9000]
    with socket.create_connection((f"203.0.113.{number + 1}", 9000)) as there:
        there.sendall(record)
    sent += len(record)
print(sent)
PROGRAM
arrived "$WORK/got" "$(cat "$WORK/sent")"
