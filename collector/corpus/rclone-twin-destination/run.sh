. "$(dirname "$0")/../lib/check.sh"
rclone -q --config /dev/null copy "$STORE" ":webdav:" --webdav-url "http://$SINK:8081/" --webdav-vendor other
arrived "$WORK/got" "$(size "$STORE")"
