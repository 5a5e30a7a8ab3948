tar -C "$STORE" -cf "$WORK/b.tar" .
mkdir "$WORK/r"
tar -C "$WORK/r" -xf "$WORK/b.tar"
diff -r "$STORE" "$WORK/r"
