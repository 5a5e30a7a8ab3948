. "$(dirname "$0")/../lib/check.sh"
f=$(find "$STORE" -type f -size -8k | sort | head -n 1)
curl -sS -f -T "$f" "http://$APPROVED:8080/"
arrived "$WORK/got" 100
