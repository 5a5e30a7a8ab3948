tar -C "$STORE" -czf "$WORK/backup.tgz" .
