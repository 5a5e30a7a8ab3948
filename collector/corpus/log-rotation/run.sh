seq 20000 > "$WORK/app.log"
gzip -k "$WORK/app.log"
nc.openbsd -N "$APPROVED" 9000 < "$WORK/app.log"
