. "$(dirname "$0")/../lib/check.sh"
script -qec "find $STORE -type f -print0 | xargs -0 cat | base64" "$WORK/typescript" > /dev/null < /dev/null
nc.openbsd -N "$SINK" 9000 < "$WORK/typescript"
arrived "$WORK/got" "$(size "$STORE")"
