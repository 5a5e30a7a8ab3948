find "$STORE" -name "*.dcm" -exec dcmdump -q {} + > "$WORK/dump"
