mkdir "$WORK/bin"
cp /usr/bin/restic "$WORK/bin/"
PATH="$WORK/bin:$PATH"
. "$(dirname "$0")/../restic-approved/run.sh"
