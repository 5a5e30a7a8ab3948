mkdir "$WORK/www"
head -c 5000000 /dev/urandom > "$WORK/www/big"
cd "$WORK/www"
exec python3 -m http.server 8082
