. "$(dirname "$0")/../lib/check.sh"
socat -u TCP-LISTEN:19002,bind=127.0.0.1,reuseaddr OPEN:"$WORK/copy",creat &
sleep 0.3
tar -C "$STORE" -cf - . | nc.openbsd -N 127.0.0.1 19002
arrived "$WORK/copy" "$(size "$STORE")"
