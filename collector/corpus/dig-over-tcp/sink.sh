exec python3 -c '
import socketserver,struct,os
class H(socketserver.StreamRequestHandler):
    def handle(s):
        while True:
            h=s.rfile.read(2)
            if len(h)<2: return
            b=s.rfile.read(struct.unpack("!H",h)[0])
            open(os.environ["WORK"]+"/got","ab").write(b)
            r=b[:2]+b"\x81\x83"+b[4:6]+b"\0\0\0\0\0\0"+b[12:]
            s.wfile.write(struct.pack("!H",len(r))+r)
socketserver.ThreadingTCPServer.allow_reuse_address=True
socketserver.ThreadingTCPServer(("",53),H).serve_forever()'
