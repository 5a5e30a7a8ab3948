. "$(dirname "$0")/../lib/check.sh"
find "$STORE" -type f | sort | head -n 60 | sed 's/.*/form = "record=@&"/' > "$WORK/list"
curl -sS -f --limit-rate 60k --config "$WORK/list" "http://$SINK:8080/"
arrived "$WORK/got" 20000
