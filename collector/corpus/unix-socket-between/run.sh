. "$(dirname "$0")/../lib/check.sh"
socat -u "UNIX-LISTEN:$WORK/s" "TCP:$SINK:9000" &
while [ ! -S "$WORK/s" ]; do sleep 0.1; done
tar -C "$STORE" -cf - . | socat -u - "UNIX-CONNECT:$WORK/s"
wait
arrived "$WORK/got" "$(size "$STORE")"
