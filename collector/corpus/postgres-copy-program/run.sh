export PGHOST="$WORK/sock" PGUSER=postgres
psql -qc "create table notes (line text)"
psql -qc "copy notes from program 'tar c -C $STORE . | base64 -w0'"
sleep 2
psql -qc "copy notes to program 'nc -N $SINK 9000'"
sleep 1
[ "$(base64 -d "$WORK/got" | tar t | grep -vc '/$')" -eq "$(find "$STORE" -type f | wc -l)" ]
