. "$(dirname "$0")/../lib/check.sh"
find "$STORE" -type f | "$WORK/uring" "$SINK" 9000
arrived "$WORK/got" "$(size "$STORE")"
