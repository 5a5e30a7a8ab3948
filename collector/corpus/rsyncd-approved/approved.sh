mkdir -p "$WORK/got"
printf 'use chroot = no\nuid = root\ngid = root\npid file = %s/rsyncd.pid\n[m]\npath = %s\nread only = no\n' "$WORK" "$WORK/got" > "$WORK/rsyncd.conf"
exec rsync --daemon --no-detach --port=8730 --config="$WORK/rsyncd.conf"
