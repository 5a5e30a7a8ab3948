. "$(dirname "$0")/../lib/http.sh"
