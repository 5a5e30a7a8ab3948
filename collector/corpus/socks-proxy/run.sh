. "$(dirname "$0")/../lib/check.sh"
. "$(dirname "$0")/../lib/ssh.sh"
tar -C "$STORE" -cf - . | gzip > "$WORK/x"
$SSH -N -D 127.0.0.1:19050 "root@$SINK" &
proxy=$!
for _ in $(seq 50); do nc.openbsd -z 127.0.0.1 19050 && break; sleep 0.1; done
curl -sS -f --socks5 127.0.0.1:19050 -T "$WORK/x" "http://$SINK:8080/"
kill $proxy
arrived "$WORK/got" 20000
