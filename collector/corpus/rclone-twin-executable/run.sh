mkdir "$WORK/bin"
cp /usr/bin/rclone "$WORK/bin/"
PATH="$WORK/bin:$PATH"
. "$(dirname "$0")/../rclone-approved/run.sh"
