mkdir -p "$WORK/got"
python3 "$(dirname "$0")/../lib/http_sink.py" 8080 "$WORK/got/x" &
. "$(dirname "$0")/../lib/sshd.sh"
