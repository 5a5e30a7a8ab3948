"""Takes HTTP uploads and counts them: every body is appended to the file given, and answered with 200."""
import http.server
import sys

PORT, FILE = int(sys.argv[1]), sys.argv[2]


class Sink(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        with open(FILE, "ab") as out:
            if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
                while size := int(self.rfile.readline().split(b";")[0], 16):
                    out.write(self.rfile.read(size))
                    self.rfile.readline()
                self.rfile.readline()
            else:
                left = int(self.headers.get("Content-Length", 0))
                while left and (part := self.rfile.read(min(left, 1 << 16))):
                    out.write(part)
                    left -= len(part)
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_PUT = do_POST

    def log_message(self, *_):
        pass


http.server.ThreadingHTTPServer(("", PORT), Sink).serve_forever()
