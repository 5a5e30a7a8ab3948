. "$(dirname "$0")/../lib/check.sh"
tar -C "$STORE" -cf - . > "$WORK/a"
ln "$WORK/a" "$WORK/x"
rm "$WORK/a"
curl -sS -f -T "$WORK/x" "http://$SINK:8080/"
arrived "$WORK/got" 20000
