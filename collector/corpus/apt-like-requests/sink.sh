mkdir "$WORK/www"
cd "$WORK/www"
exec python3 -m http.server 8082
