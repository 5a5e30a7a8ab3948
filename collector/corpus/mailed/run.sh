. "$(dirname "$0")/../lib/check.sh"
tar -C "$STORE" -cf - . | gzip > "$WORK/x"
python3 - "$WORK/x" "$SINK" <<'END'
import email.message, smtplib, sys
file, sink = sys.argv[1:]
m = email.message.EmailMessage()
m["From"] = m["To"] = "a@sink.test"; m["Subject"] = "x"
m.add_attachment(open(file, "rb").read(), maintype="application", subtype="gzip", filename="x")
smtplib.SMTP(sink, 2525).send_message(m)
END
arrived "$WORK/got" 20000
