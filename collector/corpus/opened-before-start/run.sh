. "$(dirname "$0")/../lib/check.sh"
touch "$WORK/go"
arrived "$WORK/got" "$(size "$STORE")"
