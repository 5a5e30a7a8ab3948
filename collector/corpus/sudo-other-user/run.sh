. "$(dirname "$0")/../lib/check.sh"
tar -C "$STORE" -cf - . | sudo -n -u nobody curl -sS -f --data-binary @- "http://$SINK:8080/x"
arrived "$WORK/got" "$(size "$STORE")"
