. "$(dirname "$0")/../lib/check.sh"
socat TCP-LISTEN:19001,bind=127.0.0.1,reuseaddr "TCP:$SINK:9000" &
sleep 0.3
tar -C "$STORE" -cf - . | nc.openbsd -N 127.0.0.1 19001
arrived "$WORK/got" "$(size "$STORE")"
