. "$(dirname "$0")/../lib/check.sh"
age-keygen -o "$WORK/key" 2> "$WORK/key.log"
tar -C "$STORE" -cf - . | age -r "$(sed -n 's/.*public key: //p' "$WORK/key")" -o "$WORK/x"
curl -sS -f -T "$WORK/x" "http://$SINK:8080/"
arrived "$WORK/got" 20000
