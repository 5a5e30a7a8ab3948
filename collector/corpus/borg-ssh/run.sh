. "$(dirname "$0")/../lib/check.sh"
. "$(dirname "$0")/../lib/ssh.sh"
export BORG_RSH="$SSH" BORG_BASE_DIR="$WORK" BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK=yes
borg init -e none "ssh://root@$SINK:2222$WORK/got/b"
borg create "ssh://root@$SINK:2222$WORK/got/b::a" "$STORE"
arrived "$WORK/got" 20000
