. "$(dirname "$0")/../lib/check.sh"
tar -C "$STORE" -cf - . | zstd -q -o "$WORK/x"
curl -sS -f -T "$WORK/x" "http://$SINK:8080/"
arrived "$WORK/got" 20000
