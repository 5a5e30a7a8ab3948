mkdir "$WORK/bin"
cp /usr/bin/storescu "$WORK/bin/"
PATH="$WORK/bin:$PATH"
. "$(dirname "$0")/../lib/check.sh"
find "$STORE" -name "*.dcm" | sort > "$WORK/list"
xargs -a "$WORK/list" storescu -R -aec PACS "$APPROVED" 11112
arrived "$WORK/got" 20000
