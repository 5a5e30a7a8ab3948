find "$STORE" -name "*.dcm" | sort | head -n 20 > "$WORK/list"
while read -r f; do dcmj2pnm -q "$f" "$WORK/$(basename "$f").ppm" || true; done < "$WORK/list"
