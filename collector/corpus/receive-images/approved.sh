touch "$READY"
while [ ! -e "$WORK/up" ]; do sleep 0.1; done
ls "$WORK"/mod/*.dcm | xargs storescu "$HOST" 11113
touch "$WORK/done"
sleep 1000
