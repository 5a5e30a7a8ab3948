mkdir -p "$WORK/bak"
printf 'use chroot = no\nuid = root\ngid = root\npid file = %s/rsyncd.pid\n[m]\npath = %s\nread only = no\n' "$WORK" "$WORK/bak" > "$WORK/rsyncd.conf"
exec rsync --daemon --no-detach --port=8730 --config="$WORK/rsyncd.conf"
