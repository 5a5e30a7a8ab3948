echo "http://HOST:7480/cgi-bin/status" > "$WORK/url.new"
mv "$WORK/url.new" "$WORK/url"
while [ ! -e "$WORK/fetched" ]; do sleep 0.1; done
[ "$(tar tf "$WORK/got/cgi-bin/status" | grep -vc '/$')" -eq "$(find "$STORE" -type f | wc -l)" ]
