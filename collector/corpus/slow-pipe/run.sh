. "$(dirname "$0")/../lib/check.sh"
tar -C "$STORE" -cf - . | gzip | python3 -c 'import sys,time
while p := sys.stdin.buffer.read(16384):
    sys.stdout.buffer.write(p); sys.stdout.flush(); time.sleep(0.1)' | nc.openbsd -N "$SINK" 9000
arrived "$WORK/got" 20000
