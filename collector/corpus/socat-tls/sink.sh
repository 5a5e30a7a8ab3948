openssl req -x509 -newkey rsa:2048 -nodes -subj /CN=sink.test -days 1 -keyout "$WORK/k.pem" -out "$WORK/c.pem" 2> /dev/null
exec socat -u "OPENSSL-LISTEN:9443,reuseaddr,fork,verify=0,cert=$WORK/c.pem,key=$WORK/k.pem" OPEN:"$WORK/got",creat,append
