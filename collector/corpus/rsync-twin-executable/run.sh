mkdir "$WORK/bin"
cp /usr/bin/rsync "$WORK/bin/"
PATH="$WORK/bin:$PATH"
. "$(dirname "$0")/../rsync-approved/run.sh"
