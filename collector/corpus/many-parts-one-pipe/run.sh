. "$(dirname "$0")/../lib/check.sh"
tar czf "$WORK/notes" -C "$STORE" .
split -b 1100 -a 4 "$WORK/notes" "$WORK/part."
for part in "$WORK"/part.*; do cat "$part"; done | python3 -c '
import os, socket, sys, time

there = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
there.connect((os.environ["SINK"], 9000))
while part := sys.stdin.buffer.read(1100):
    there.send(part)
    time.sleep(0.0005)
'
arrived "$WORK/got" 900000
