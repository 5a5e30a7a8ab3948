export HOME="$WORK"
git init -q --bare "$WORK/got"
exec git daemon --reuseaddr --export-all --enable=receive-pack --base-path="$WORK" --port=9418 "$WORK/got"
