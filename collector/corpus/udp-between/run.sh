. "$(dirname "$0")/../lib/check.sh"
socat -u -b 65536 UDP-RECV:19003,bind=127.0.0.1 "TCP:$SINK:9000" &
sleep 0.3
find "$STORE" -type f -exec cat {} + | socat -u -b 1200 - UDP-SENDTO:127.0.0.1:19003
arrived "$WORK/got" 100000
