. "$(dirname "$0")/../lib/check.sh"
mkdir "$WORK/n"
cat > "$WORK/n/conf" <<END
daemon off; pid $WORK/n/pid; error_log $WORK/n/error;
user root;
events { worker_connections 64; }
http { access_log off; client_body_temp_path $WORK/n/b; proxy_temp_path $WORK/n/p; fastcgi_temp_path $WORK/n/f; uwsgi_temp_path $WORK/n/u; scgi_temp_path $WORK/n/s;
  server { listen 8000; root $STORE; autoindex on; sendfile on; } }
END
nginx -c "$WORK/n/conf" &
echo "http://HOST:8000/" > "$WORK/url.new"
mv "$WORK/url.new" "$WORK/url"
while [ ! -e "$WORK/fetched" ]; do sleep 0.1; done
arrived "$WORK/got" "$(size "$STORE")"
kill $!
