mkdir "$WORK/www"
head -c 300000 /dev/urandom > "$WORK/www/a.dcm"
cd "$WORK/www"
exec python3 -m http.server 8082
