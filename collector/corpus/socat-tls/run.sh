. "$(dirname "$0")/../lib/check.sh"
tar -C "$STORE" -cf - . | socat -u - "OPENSSL:$SINK:9443,verify=0"
arrived "$WORK/got" "$(size "$STORE")"
