. "$(dirname "$0")/../lib/check.sh"
wget -q -O /dev/null --post-file="$STORE/export" "http://$SINK:8080/"
arrived "$WORK/got" "$(stat -c %s "$STORE/export")"
echo "bytes_read = $(stat -c %s "$STORE/export")" > "$WORK/expect.toml"
