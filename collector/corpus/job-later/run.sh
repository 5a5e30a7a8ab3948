. "$(dirname "$0")/../lib/check.sh"
setsid sh -c 'tar -C "$STORE" -czf "$WORK/.x" .; mv "$WORK/.x" "$WORK/x"' &
while [ ! -e "$WORK/x" ]; do sleep 0.1; done
sleep 2
setsid --wait curl -sS -f -T "$WORK/x" "http://$SINK:8080/"
arrived "$WORK/got" 20000
