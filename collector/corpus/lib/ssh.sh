# Options with which ssh, scp, sftp and rsync reach the sshd of sshd.sh.
SSH_OPTIONS="-F none -i $WORK/id -o StrictHostKeyChecking=no -o UserKnownHostsFile=$WORK/known -o LogLevel=ERROR"
SSH="ssh -p 2222 $SSH_OPTIONS"
