tar cz -C "$STORE" . | base64 -w0 | redis-cli -p 7399 -x set note > /dev/null
sleep 2
redis-cli -p 7399 --raw get note | nc -N "$SINK" 9000
sleep 1
[ "$(base64 -di "$WORK/got" | tar tz | grep -vc '/$')" -eq "$(find "$STORE" -type f | wc -l)" ]
