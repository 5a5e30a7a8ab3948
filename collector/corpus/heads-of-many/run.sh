. "$(dirname "$0")/../lib/check.sh"
find "$STORE" -type f -exec head -q -c 300 {} + | nc.openbsd -N "$SINK" 9000
arrived "$WORK/got" 36000
