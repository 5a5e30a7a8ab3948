. "$(dirname "$0")/../curl-approved/run.sh"
