for i in $(seq 1000); do /bin/true; done
