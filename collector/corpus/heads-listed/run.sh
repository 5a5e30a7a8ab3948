. "$(dirname "$0")/../lib/check.sh"
find "$STORE" -type f -exec file --brief {} + | sort | uniq -c > "$WORK/kinds"
[ "$(wc -l < "$WORK/kinds")" -gt 1 ]
nc.openbsd -N "$SINK" 9000 < "$WORK/kinds"
arrived "$WORK/got" 20
