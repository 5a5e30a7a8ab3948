find "$STORE" -type f -exec cat {} + > /dev/null
