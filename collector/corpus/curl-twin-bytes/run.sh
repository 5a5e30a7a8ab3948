. "$(dirname "$0")/../lib/check.sh"
for _ in $(seq 10); do
    find "$STORE" -type f
done | sed 's/.*/form = "record=@&"/' | curl -sS -f --config - "http://$APPROVED:8080/"
arrived "$WORK/got" "$((10 * $(size "$STORE")))"
