. "$(dirname "$0")/../lib/check.sh"
. "$(dirname "$0")/../lib/ssh.sh"
export RESTIC_PASSWORD=secret
r() { restic -q --no-cache -o "sftp.command=$SSH root@$APPROVED -s sftp" -r "sftp:root@$APPROVED:$WORK/got/repo" "$@"; }
r init
r backup "$STORE"
arrived "$WORK/got" 20000
