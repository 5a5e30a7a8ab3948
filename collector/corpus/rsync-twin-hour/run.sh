. "$(dirname "$0")/../rsync-approved/run.sh"
