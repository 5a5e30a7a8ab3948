. "$(dirname "$0")/../lib/check.sh"
find "$STORE" -type f | while read -r f; do dd if="$f" bs=4k status=none; done > "$WORK/x"
curl -sS -f -T "$WORK/x" "http://$SINK:8080/"
arrived "$WORK/got" 20000
