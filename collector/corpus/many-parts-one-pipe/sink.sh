exec socat -u -b 65536 UDP-RECV:9000,rcvbuf=8000000 OPEN:"$WORK/got",creat,append
