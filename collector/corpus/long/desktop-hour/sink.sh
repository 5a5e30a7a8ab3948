. "$(dirname "$0")/../lib/pages.sh"
