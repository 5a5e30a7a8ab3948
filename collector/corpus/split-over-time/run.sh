. "$(dirname "$0")/../lib/check.sh"
tar -C "$STORE" -cf - . | gzip | split -b 40k - "$WORK/p."
for part in "$WORK"/p.*; do
    curl -sS -f -T "$part" "http://$SINK:8080/"
    sleep 0.3
done
arrived "$WORK/got" 20000
