mkdir "$WORK/bin"
cp /usr/bin/storescu "$WORK/bin/"
PATH="$WORK/bin:$PATH"
. "$(dirname "$0")/../storescu-approved/run.sh"
