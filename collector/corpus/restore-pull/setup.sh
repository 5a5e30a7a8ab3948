mkdir "$WORK/bak"; cp -r "$STORE/." "$WORK/bak/"; find "$WORK/bak" -type f | sort | head -n 40 | while read -r x; do echo changed >> "$x"; done
