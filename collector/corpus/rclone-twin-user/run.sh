. "$(dirname "$0")/../rclone-approved/run.sh"
