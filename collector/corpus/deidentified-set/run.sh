mkdir "$WORK/share"
find "$STORE" -name "*.dcm" | sort | head -n 10 | { i=0; while read -r f; do i=$((i + 1)); cp "$f" "$WORK/share/$i.dcm"; dcmodify -q -nb -ma "PatientName=Test" "$WORK/share/$i.dcm" || true; done; }
