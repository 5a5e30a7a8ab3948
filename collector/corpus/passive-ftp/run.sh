trap 'umount -l "$WORK/ftp/pub"' EXIT
touch "$WORK/go"
while [ ! -e "$WORK/fetched" ]; do sleep 0.1; done
diff -r "$STORE" "$WORK/got"
