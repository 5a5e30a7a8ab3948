. "$(dirname "$0")/../lib/check.sh"
. "$(dirname "$0")/../lib/ssh.sh"
for n in $(seq 10); do
    rsync -a -e "$SSH" "$STORE/" "root@$APPROVED:$WORK/got/$n/"
done
arrived "$WORK/got" "$((10 * $(size "$STORE")))"
