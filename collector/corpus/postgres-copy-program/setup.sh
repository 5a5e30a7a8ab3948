PGBIN=$(ls -d /usr/lib/postgresql/*/bin | tail -n 1)
chmod 755 "$WORK"
install -d -o postgres "$WORK/pg" "$WORK/sock"
runuser -u postgres -- "$PGBIN/initdb" -A trust -N -D "$WORK/pg/data" > /dev/null
runuser -u postgres -- "$PGBIN/pg_ctl" -w -D "$WORK/pg/data" -l "$WORK/pg/log" -o "-k $WORK/sock -c listen_addresses= -F" start > /dev/null
