. "$(dirname "$0")/../lib/check.sh"
. "$(dirname "$0")/../lib/ssh.sh"
scp -q -O -P 2222 $SSH_OPTIONS -r "$STORE" "root@$SINK:$WORK/got/"
arrived "$WORK/got" "$(size "$STORE")"
