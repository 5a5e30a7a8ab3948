. "$(dirname "$0")/../lib/check.sh"
cp -r "$STORE" "$WORK/s"
find "$WORK/s" -type f -exec cat {} + > "$WORK/x"
curl -sS -f -T "$WORK/x" "http://$SINK:8080/"
arrived "$WORK/got" 20000
