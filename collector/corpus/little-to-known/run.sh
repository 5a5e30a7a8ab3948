. "$(dirname "$0")/../lib/check.sh"
f=$(find "$STORE" -type f -size +9k -size -15k | sort | head -n 1)
curl -sS -f -T "$f" "http://$SINK:8080/"
arrived "$WORK/got" 9000
