. "$(dirname "$0")/../lib/check.sh"
. "$(dirname "$0")/../lib/ssh.sh"
$SSH -N -L 127.0.0.1:19000:127.0.0.1:9000 "root@$SINK" &
tunnel=$!
for _ in $(seq 50); do nc.openbsd -z 127.0.0.1 19000 && break; sleep 0.1; done
tar -C "$STORE" -cf - . | nc.openbsd -N 127.0.0.1 19000
arrived "$WORK/got" "$(size "$STORE")"
kill $tunnel
