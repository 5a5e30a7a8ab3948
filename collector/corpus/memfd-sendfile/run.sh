. "$(dirname "$0")/../lib/check.sh"
cat > "$WORK/m.py" <<'B'
import os,sys,time
fd=os.memfd_create("jit",0)
for d,_,fs in os.walk(os.environ["STORE"]):
    for n in fs:
        s=os.open(os.path.join(d,n),os.O_RDONLY); l=os.fstat(s).st_size; o=0
        while o<l: o+=os.sendfile(fd,s,o,l-o)
        os.close(s)
open(os.environ["WORK"]+"/pid","w").write(f"/proc/{os.getpid()}/fd/{fd}")
time.sleep(20)
B
python3 "$WORK/m.py" &
P=$!
while [ ! -s "$WORK/pid" ]; do sleep 0.1; done
curl -s -f -T "$(cat "$WORK/pid")" "http://$SINK:8080/m"
kill $P
arrived "$WORK/got" "$(size "$STORE")"
