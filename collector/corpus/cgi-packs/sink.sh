. "$(dirname "$0")/../lib/fetch.sh"
