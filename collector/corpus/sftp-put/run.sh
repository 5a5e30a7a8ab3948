. "$(dirname "$0")/../lib/check.sh"
. "$(dirname "$0")/../lib/ssh.sh"
printf 'put -r "%s" "%s"\n' "$STORE" "$WORK/got/" | sftp -q -P 2222 $SSH_OPTIONS -b - "root@$SINK"
arrived "$WORK/got" "$(size "$STORE")"
