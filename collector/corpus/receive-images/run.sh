. "$(dirname "$0")/../lib/check.sh"
storescp -od "$STORE/incoming" 11113 &
sleep 0.5; touch "$WORK/up"
for i in $(seq 200); do [ -e "$WORK/done" ] && break; sleep 0.1; done
[ -e "$WORK/done" ]
find "$STORE/incoming" -type f | wc -l | grep -qv '^0'
