find "$STORE" -type f -exec cat {} + > "$WORK/all"
mv "$WORK/all" "$STORE/export"
