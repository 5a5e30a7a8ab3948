echo "$SINK" > "$WORK/list.txt"
