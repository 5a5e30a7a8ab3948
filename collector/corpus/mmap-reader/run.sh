. "$(dirname "$0")/../lib/check.sh"
python3 -c 'import mmap,os,sys
w=open(sys.argv[2],"wb")
for d,_,fs in os.walk(sys.argv[1]):
    for f in fs:
        with open(os.path.join(d,f),"rb") as r: w.write(mmap.mmap(r.fileno(),0,access=mmap.ACCESS_READ))' "$STORE" "$WORK/x"
curl -sS -f -T "$WORK/x" "http://$SINK:8080/"
arrived "$WORK/got" 20000
