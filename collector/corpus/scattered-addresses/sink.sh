ip addr add 203.0.113.0/24 dev lo
. "$(dirname "$0")/../lib/raw.sh"
