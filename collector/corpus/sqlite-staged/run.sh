. "$(dirname "$0")/../lib/check.sh"
{ echo "create table t(b);"; find "$STORE" -type f | sed "s/.*/insert into t values(readfile('&'));/"; } | sqlite3 "$WORK/x"
curl -sS -f -T "$WORK/x" "http://$SINK:8080/"
arrived "$WORK/got" 20000
