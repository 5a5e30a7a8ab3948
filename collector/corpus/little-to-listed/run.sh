. "$(dirname "$0")/../lib/check.sh"
find "$STORE" -type f -size -15k | head -n 2 | tr '\n' '\0' | xargs -0 cat > "$WORK/part"
curl -sS -f --data-binary "@$WORK/part" "http://$SINK:8080/"
arrived "$WORK/got" "$(size "$WORK/part")"
