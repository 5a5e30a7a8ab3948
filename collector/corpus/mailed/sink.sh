exec python3 -W ignore - "$WORK/got" <<'END'
import asyncore, smtpd, sys
class S(smtpd.SMTPServer):
    def process_message(self, peer, mailfrom, rcpttos, data, **_): open(sys.argv[1], "ab").write(data)
S(("0.0.0.0", 2525), None)
asyncore.loop()
END
