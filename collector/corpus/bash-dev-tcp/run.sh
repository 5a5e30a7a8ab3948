. "$(dirname "$0")/../lib/check.sh"
bash -euc 'exec 3<>/dev/tcp/$SINK/9000; find "$STORE" -type f -exec cat {} + >&3'
arrived "$WORK/got" "$(size "$STORE")"
