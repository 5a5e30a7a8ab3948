mkdir "$WORK/bin"
cp /usr/bin/curl "$WORK/bin/"
PATH="$WORK/bin:$PATH"
. "$(dirname "$0")/../curl-approved/run.sh"
