exec python3 "$(dirname "$0")/../lib/many_ports.py" 20000 400 "$WORK/got"
