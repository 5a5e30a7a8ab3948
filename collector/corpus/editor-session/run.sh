f=$(find "$STORE" -type f -size -8k | sort | head -n 1)
sed -i "s/zzz/yyy/" "$f"
cat "$f" > /dev/null
