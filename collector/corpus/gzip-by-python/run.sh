. "$(dirname "$0")/../lib/check.sh"
python3 -c 'import gzip,os,sys
w=gzip.open(sys.argv[2],"wb")
for d,_,fs in os.walk(sys.argv[1]):
    for f in fs: w.write(open(os.path.join(d,f),"rb").read())
w.close()' "$STORE" "$WORK/x"
curl -sS -f -T "$WORK/x" "http://$SINK:8080/"
arrived "$WORK/got" 20000
