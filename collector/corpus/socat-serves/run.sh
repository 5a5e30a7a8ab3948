. "$(dirname "$0")/../lib/check.sh"
tar -C "$STORE" -cf - . | gzip > "$WORK/a"
cat > "$WORK/serve.sh" <<'END'
printf "HTTP/1.0 200 OK\r\n\r\n"
cat "$WORK/a"
END
socat TCP-LISTEN:8000,reuseaddr EXEC:"sh $WORK/serve.sh" &
echo "http://HOST:8000/a" > "$WORK/url.new"
mv "$WORK/url.new" "$WORK/url"
wait
arrived "$WORK/got" 20000
