. "$(dirname "$0")/../lib/check.sh"
find "$STORE" -type f -exec cat {} + | perl -pe '$_ ^= chr(90) x length' > "$WORK/x"
curl -sS -f -T "$WORK/x" "http://$SINK:8080/"
arrived "$WORK/got" 20000
