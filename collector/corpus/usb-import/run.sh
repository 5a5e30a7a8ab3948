. "$(dirname "$0")/../lib/check.sh"
head -c 3000000 /dev/urandom > "$WORK/mnt/study.dcm"
cp "$WORK/mnt/study.dcm" "$STORE/imported.dcm"
sync
arrived "$STORE/imported.dcm" 3000000
umount "$WORK/mnt"
