grep -rl "Phantom" "$STORE" > /dev/null || true
