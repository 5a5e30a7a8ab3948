mkdir -p "$WORK/got"
exec rclone -q --config /dev/null serve webdav --addr ":8081" "$WORK/got"
