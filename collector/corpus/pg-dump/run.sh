. "$(dirname "$0")/../lib/check.sh"
. "$(dirname "$0")/../lib/postgres.sh"
pg_dump -t results > "$WORK/dump"
gzip "$WORK/dump"
curl -sS -f -T "$WORK/dump.gz" "http://$SINK:8080/"
arrived "$WORK/got" 20000
