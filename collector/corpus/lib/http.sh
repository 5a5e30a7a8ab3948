# Starts an HTTP listener that takes POST and PUT and keeps what came in $WORK/got, on port 8080 of its namespace.
exec python3 "$(dirname "$0")/../lib/http_sink.py" 8080 "$WORK/got"
