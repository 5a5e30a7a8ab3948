python3 "$(dirname "$0")/../lib/mail_sink.py" 8025 "$WORK/mail" &
. "$(dirname "$0")/../lib/http.sh"
