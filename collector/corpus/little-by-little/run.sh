. "$(dirname "$0")/../lib/check.sh"
find "$STORE" -type f -size -40k | sort | head -n 40 | while read -r file; do
    curl -sS -f -T "$file" "http://$SINK:8080/"
    sleep 0.05
done
arrived "$WORK/got" 80000
