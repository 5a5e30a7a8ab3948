. "$(dirname "$0")/../lib/postgres.sh"
psql -q -t -c "select count(*), max(length(finding)) from results"
