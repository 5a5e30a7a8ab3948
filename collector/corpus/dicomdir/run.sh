mkdir "$WORK/cd"
find "$STORE" -name "*.dcm" | sort | head -n 8 | { i=0; while read -r f; do i=$((i + 1)); cp "$f" "$WORK/cd/IM$i"; done; }
[ -e "$WORK/cd/IM1" ]
