. "$(dirname "$0")/../lib/check.sh"
. "$(dirname "$0")/../lib/ssh.sh"
lftp -c "set sftp:connect-program \"ssh -a -x $SSH_OPTIONS\"; open -p 2222 -u root,x sftp://$SINK; mirror -R $STORE $WORK/got/m"
arrived "$WORK/got" "$(size "$STORE")"
