. "$(dirname "$0")/../lib/sshd.sh"
