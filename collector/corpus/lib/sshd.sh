# Runs an sshd on port 2222 of its namespace, with keys and configuration of its own in $WORK; what comes goes to $WORK/got.
umask 077
mkdir -p "$WORK/sshd" "$WORK/got" /run/sshd
ssh-keygen -q -t ed25519 -N '' -f "$WORK/sshd/host"
ssh-keygen -q -t ed25519 -N '' -f "$WORK/id"
cp "$WORK/id.pub" "$WORK/sshd/keys"
owner=$(stat -c %U "$WORK")
chown "$owner" "$WORK/id"
cat > "$WORK/sshd/config" <<END
Port 2222
HostKey $WORK/sshd/host
PidFile none
AuthorizedKeysFile $WORK/sshd/keys
StrictModes no
UsePAM no
PermitRootLogin prohibit-password
PasswordAuthentication no
AllowTcpForwarding yes
GatewayPorts yes
Subsystem sftp internal-sftp
END
# What arrives is root's; the scenario's user must be able to see that it has.
while sleep 0.2; do chmod -R a+rX "$WORK/got"; done 2> /dev/null &
exec /usr/sbin/sshd -D -e -f "$WORK/sshd/config"
