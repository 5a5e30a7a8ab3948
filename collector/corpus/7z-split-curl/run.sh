. "$(dirname "$0")/../lib/check.sh"
7z a -bso0 -bsp0 -psecret "$WORK/f.7z" "$STORE"
split -b 64k "$WORK/f.7z" "$WORK/part."
for part in "$WORK"/part.*; do
    curl -sS -f -T "$part" "http://$SINK:8080/"
done
rm "$WORK"/f.7z "$WORK"/part.*
arrived "$WORK/got" 20000
