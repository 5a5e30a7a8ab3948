. "$(dirname "$0")/../lib/check.sh"
rsync -ac "rsync://$APPROVED:8730/m/" "$STORE/"
diff -r "$STORE" "$WORK/bak"
