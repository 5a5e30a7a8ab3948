. "$(dirname "$0")/../lib/check.sh"
cp -r "$STORE/." "$WORK/mnt/holiday"
sync
arrived "$WORK/mnt/holiday" "$(size "$STORE")"
umount "$WORK/mnt"
