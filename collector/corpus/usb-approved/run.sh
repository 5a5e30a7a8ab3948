. "$(dirname "$0")/../lib/check.sh"
mkdir -p "$WORK/mnt/backup"
tar -C "$STORE" -cf "$WORK/mnt/backup/store.tar" .
sync
arrived "$WORK/mnt/backup" "$(size "$STORE")"
umount "$WORK/mnt"
