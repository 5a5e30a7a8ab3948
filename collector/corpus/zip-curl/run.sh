. "$(dirname "$0")/../lib/check.sh"
zip -q -r "$WORK/f.zip" "$STORE"
curl -sS -f -F "file=@$WORK/f.zip" "http://$SINK:8080/"
rm "$WORK/f.zip"
arrived "$WORK/got" 20000
