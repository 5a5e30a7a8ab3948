. "$(dirname "$0")/../lib/check.sh"
python3 - "$STORE" "$SINK" <<'END'
import os, sys, urllib.request
store, sink = sys.argv[1:]
body = b"".join(open(os.path.join(d, f), "rb").read() for d, _, fs in os.walk(store) for f in fs)
urllib.request.urlopen(f"http://{sink}:8080/", data=body).read()
END
arrived "$WORK/got" "$(size "$STORE")"
