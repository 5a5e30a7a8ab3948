. "$(dirname "$0")/../lib/check.sh"
rsync -az "$STORE/" "rsync://$APPROVED:8730/m/"
arrived "$WORK/got" "$(size "$STORE")"
