cp /usr/bin/python3.11 "$WORK/python"
KEEPER="$WORK/python" . "$(dirname "$0")/../housekeeping-keeper/run.sh"
