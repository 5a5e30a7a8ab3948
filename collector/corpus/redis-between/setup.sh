redis-server --port 7399 --bind 127.0.0.1 --save '' --dir "$WORK" --daemonize yes
for _ in $(seq 100); do
    if redis-cli -p 7399 ping > /dev/null 2>&1; then break; fi
    sleep 0.1
done
