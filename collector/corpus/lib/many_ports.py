"""Takes what comes over TCP on many ports: FIRST COUNT FILE. Makes the file READY names when all listen."""

import os
import selectors
import socket
import sys

first, count, got = int(sys.argv[1]), int(sys.argv[2]), open(sys.argv[3], "ab")
ready = selectors.DefaultSelector()
for port in range(first, first + count):
    ready.register(socket.create_server(("", port)), selectors.EVENT_READ, "listens")
open(os.environ["READY"], "w").close()
while True:
    for key, _ in ready.select():
        if key.data == "listens":
            ready.register(key.fileobj.accept()[0], selectors.EVENT_READ, "sends")
            continue
        part = key.fileobj.recv(65536)
        got.write(part)
        got.flush()
        if not part:
            ready.unregister(key.fileobj)
            key.fileobj.close()
