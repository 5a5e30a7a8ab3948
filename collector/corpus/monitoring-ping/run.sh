for _ in 1 2 3; do seq 500 | curl -sS -f --data-binary @- "http://$APPROVED:8080/metrics"; sleep 0.2; done
