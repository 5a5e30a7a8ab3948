# Takes whatever comes over TCP on port 9000 of its namespace, connection by connection, into $WORK/got.
exec socat -u TCP-LISTEN:9000,reuseaddr,fork OPEN:"$WORK/got",creat,append
