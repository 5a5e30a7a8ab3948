. "$(dirname "$0")/../lib/check.sh"
head -c 1000000 /dev/urandom > "$WORK/noise"
curl -sS -f --data-binary "@$WORK/noise" "http://$SINK:8080/"
arrived "$WORK/got" 1000000
