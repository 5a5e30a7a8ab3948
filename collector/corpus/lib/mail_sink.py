"""Takes letters over SMTP and keeps them: a port and a file are given, letters are appended to the file."""
import sys
import time

from aiosmtpd.controller import Controller

PORT, FILE = int(sys.argv[1]), sys.argv[2]


class Keep:
    async def handle_DATA(self, server, session, envelope):
        with open(FILE, "ab") as out:
            out.write(envelope.content)
        return "250 kept"


Controller(Keep(), hostname="0.0.0.0", port=PORT).start()
while True:
    time.sleep(3600)
