. "$(dirname "$0")/../lib/desktop.sh"
work_for 45
