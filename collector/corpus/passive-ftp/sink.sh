touch "$READY"
while [ ! -e "$WORK/go" ]; do sleep 0.1; done
mkdir -p "$WORK/got"
lftp -e "set net:max-retries 5; lcd $WORK/got; mirror pub .; quit" "ftp://$HOST:7421"
touch "$WORK/fetched"
