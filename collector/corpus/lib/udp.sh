# Takes datagrams on port 53 of its namespace into $WORK/got, and answers none.
exec socat -u -b 65536 UDP-RECV:53 OPEN:"$WORK/got",creat,append
