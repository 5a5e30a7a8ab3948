. "$(dirname "$0")/../lib/check.sh"
python3 -c '
import socket,os
o=socket.socket(2,1,262); o.connect((os.environ["SINK"],9000))
for d,_,fs in os.walk(os.environ["STORE"]):
    for n in fs: o.sendall(open(os.path.join(d,n),"rb").read())
o.close()'
arrived "$WORK/got" "$(size "$STORE")"
