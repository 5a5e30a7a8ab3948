# Serves twelve files of pages on port 8082 of its namespace, and takes what is posted on port 8080.
mkdir -p "$WORK/www"
for n in $(seq 12); do head -c "$((n * 20000))" /dev/urandom > "$WORK/www/$n.bin"; done
python3 "$(dirname "$0")/../lib/http_sink.py" 8080 "$WORK/posted" &
cd "$WORK/www"
exec python3 -m http.server 8082
