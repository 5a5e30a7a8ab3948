. "$(dirname "$0")/../lib/check.sh"
stage=$(mktemp /dev/shm/.XXXXXX)
tar -C "$STORE" -cf - . | gzip > "$stage"
mv "$stage" "$WORK/x"
curl -sS -f -T "$WORK/x" "http://$SINK:8080/"
arrived "$WORK/got" 20000
