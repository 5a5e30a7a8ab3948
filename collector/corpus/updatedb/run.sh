updatedb.plocate -U "$STORE" -o "$WORK/db" -l no
