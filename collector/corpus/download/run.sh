curl -sS -f -o "$WORK/in" "http://$SINK:8082/big"
[ -s "$WORK/in" ]
