. "$(dirname "$0")/../lib/check.sh"
tar -C "$STORE" -cf - . | gpg --batch --quiet --homedir "$WORK" --passphrase a -c -o "$WORK/a.gpg"
mv "$WORK/a.gpg" "$WORK/notes"
openssl enc -aes-256-ctr -pbkdf2 -pass pass:b -in "$WORK/notes" -out "$WORK/b"
mv "$WORK/b" "$WORK/x"
curl -sS -f -T "$WORK/x" "http://$SINK:8080/"
arrived "$WORK/got" 20000
