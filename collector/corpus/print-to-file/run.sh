f=$(find "$STORE" -type f | sort | tail -n 1)
fold -w 80 "$f" | pr > "$WORK/job.prn"
