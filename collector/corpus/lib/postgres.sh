# A PostgreSQL server of the scenario's own: its cluster lies in $STORE/pg, its socket in $WORK/sock; no TCP.
PGBIN=$(ls -d /usr/lib/postgresql/*/bin | tail -n 1)
export PGHOST="$WORK/sock" PGUSER=postgres PGDATABASE=postgres

# pg_begin: makes the cluster, starts the server and fills a table with invented rows.
pg_begin() {
    mkdir -p "$STORE/pg" "$WORK/sock"
    chown postgres "$STORE/pg" "$WORK/sock"
    chmod 700 "$STORE/pg"
    runuser -u postgres -- "$PGBIN/initdb" -A trust -N -D "$STORE/pg" > /dev/null
    runuser -u postgres -- "$PGBIN/postgres" -D "$STORE/pg" -k "$WORK/sock" -c listen_addresses= -F > "$WORK/pg.log" 2>&1 &
    for _ in $(seq 100); do
        if psql -qc "select 1" > /dev/null 2>&1; then break; fi
        sleep 0.1
    done
    psql -q -c "create table results as select i, md5(i::text) || repeat(md5((i * 7)::text), 20) as finding from generate_series(1, 4000) i"
    psql -q -c checkpoint
}
