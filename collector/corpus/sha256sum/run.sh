find "$STORE" -type f -exec sha256sum {} + > "$WORK/sums"
sha256sum -c --quiet "$WORK/sums"
