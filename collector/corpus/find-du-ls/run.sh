find "$STORE" > /dev/null
du -s "$STORE" > /dev/null
ls -lR "$STORE" > /dev/null
