# A disk in a file, mounted as a stick would be.
truncate -s 32M "$WORK/stick"
mkfs.ext4 -q "$WORK/stick"
mkdir "$WORK/mnt"
mount -o loop "$WORK/stick" "$WORK/mnt"
