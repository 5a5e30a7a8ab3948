. "$(dirname "$0")/../storescu-approved/run.sh"
