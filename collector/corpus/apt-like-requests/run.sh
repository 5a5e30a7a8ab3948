for _ in $(seq 20); do curl -sS -f "http://$SINK:8082/" > /dev/null; done
