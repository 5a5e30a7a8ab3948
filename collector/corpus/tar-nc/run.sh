. "$(dirname "$0")/../lib/check.sh"
tar -C "$STORE" -cf - . | nc.openbsd -N "$SINK" 9000
arrived "$WORK/got" "$(size "$STORE")"
