mkdir -p "$WORK/got"
socat -u TCP-LISTEN:9000,reuseaddr,fork OPEN:"$WORK/got/x",creat,append &
. "$(dirname "$0")/../lib/sshd.sh"
