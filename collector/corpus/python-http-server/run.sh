. "$(dirname "$0")/../lib/check.sh"
cd "$STORE"
python3 -m http.server 8000 > /dev/null 2>&1 &
echo "http://HOST:8000/" > "$WORK/url.new"
mv "$WORK/url.new" "$WORK/url"
while [ ! -e "$WORK/fetched" ]; do sleep 0.1; done
arrived "$WORK/got" "$(size "$STORE")"
kill $!
