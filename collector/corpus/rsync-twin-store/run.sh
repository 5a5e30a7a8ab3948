. "$(dirname "$0")/../lib/check.sh"
. "$(dirname "$0")/../lib/ssh.sh"
rsync -a -e "$SSH" "$STORE/" "root@$APPROVED:$WORK/got/"
arrived "$WORK/got" "$(size "$STORE")"
