exec socat -u UDP-RECV:5514 OPEN:"$WORK/got",creat,append
