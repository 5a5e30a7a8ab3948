/usr/bin/python3.11 "$(dirname "$0")/../lib/rewrite.py" "$STORE"
