. "$(dirname "$0")/../lib/check.sh"
find "$STORE" -type f | sed 's/.*/form = "record=@&"/' | curl -sS -f --config - "http://$SINK:8080/"
arrived "$WORK/got" "$(size "$STORE")"
