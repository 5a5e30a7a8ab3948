. "$(dirname "$0")/../lib/udp.sh"
