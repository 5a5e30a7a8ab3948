. "$(dirname "$0")/../lib/raw.sh"
