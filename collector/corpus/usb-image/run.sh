. "$(dirname "$0")/../lib/check.sh"
truncate -s 8M "$WORK/x"
/usr/sbin/mkfs.vfat "$WORK/x" > /dev/null
find "$STORE" -type f -size +8k | sort | head -n 60 > "$WORK/list"
xargs -a "$WORK/list" -I{} mcopy -o -i "$WORK/x" {} ::
curl -sS -f -T "$WORK/x" "http://$SINK:8080/"
arrived "$WORK/got" 20000
