. "$(dirname "$0")/../lib/check.sh"
export GNUPGHOME="$WORK/g"; mkdir -m 700 "$GNUPGHOME"
tar -C "$STORE" -cf - . | gpg --batch -q --passphrase x --pinentry-mode loopback --compress-algo none -c |
    split -b 100k --filter='curl -s -f --data-binary @- http://$SINK:8080/x' -
arrived "$WORK/got" "$(size "$STORE")"
