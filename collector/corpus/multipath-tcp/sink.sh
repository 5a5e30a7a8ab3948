exec python3 -c '
import socket,os
s=socket.socket(2,1,262); s.setsockopt(1,2,1); s.bind(("",9000)); s.listen()
while True:
    c,_=s.accept()
    with open(os.environ["WORK"]+"/got","ab") as f:
        while b:=c.recv(65536): f.write(b)'
