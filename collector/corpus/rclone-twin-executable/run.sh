mkdir "$WORK/bin"
cp /usr/bin/rclone "$WORK/bin/"
PATH="$WORK/bin:$PATH"
. "$(dirname "$0")/../lib/check.sh"
rclone -q --config /dev/null copy "$STORE" ":webdav:" --webdav-url "http://$APPROVED:8081/" --webdav-vendor other
arrived "$WORK/got" "$(size "$STORE")"
