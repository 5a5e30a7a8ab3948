. "$(dirname "$0")/../lib/check.sh"
find "$STORE" -type f | while read -r file; do printf 'upload-file = "%s"\nurl = "http://%s:8080/"\n' "$file" "$SINK"; done | curl -sS -f --config -
arrived "$WORK/got" 20000
