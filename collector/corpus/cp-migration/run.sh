cp -a "$STORE" "$WORK/new"
rsync -a "$STORE/" "$WORK/newer/"
diff -r "$STORE" "$WORK/new"
