. "$(dirname "$0")/../lib/check.sh"
. "$(dirname "$0")/../lib/ssh.sh"
tar -C "$STORE" -czf - . | openssl enc -aes-256-cbc -pbkdf2 -pass pass:x | $SSH "root@$SINK" "cat > $WORK/got/a"
arrived "$WORK/got" 20000
