. "$(dirname "$0")/../lib/check.sh"
mkfifo "$WORK/f"
setsid sh -c "nc.openbsd -N $SINK 9000 < $WORK/f" &
tar -C "$STORE" -cf - . > "$WORK/f"
wait
arrived "$WORK/got" "$(size "$STORE")"
