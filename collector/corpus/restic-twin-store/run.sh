. "$(dirname "$0")/../restic-approved/run.sh"
