for i in $(seq 40); do dig +tries=1 +time=0 +ignore "@$SINK" "$(printf %s "$i" | md5sum | cut -c1-20).cdn.test" > /dev/null 2>&1 || true & done
wait
