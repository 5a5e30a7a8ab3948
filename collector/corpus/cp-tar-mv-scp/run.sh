. "$(dirname "$0")/../lib/check.sh"
. "$(dirname "$0")/../lib/ssh.sh"
cp -r "$STORE" "$WORK/stage"
tar -C "$WORK" -czf "$WORK/a.tgz" stage
mv "$WORK/a.tgz" "$WORK/.cache"
scp -q -P 2222 $SSH_OPTIONS "$WORK/.cache" "root@$SINK:$WORK/got/"
arrived "$WORK/got" 20000
