# Somebody outside: waits until $WORK/url is there, fetches what it names from this host, and says in $WORK/fetched that it has.
touch "$READY"
while [ ! -s "$WORK/url" ]; do sleep 0.1; done
mkdir -p "$WORK/got"
sed "s/HOST/$HOST/" "$WORK/url" > "$WORK/url.host"
for _ in $(seq 50); do
    if wget -q -r -np -nH -P "$WORK/got" -i "$WORK/url.host"; then break; fi
    sleep 0.2
done
touch "$WORK/fetched"
