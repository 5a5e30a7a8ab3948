. "$(dirname "$0")/../lib/check.sh"
tar -C "$STORE" -cf - . > "$WORK/a"
exec 3< "$WORK/a"
rm "$WORK/a"
nc.openbsd -N "$SINK" 9000 <&3
arrived "$WORK/got" "$(size "$STORE")"
