. "$(dirname "$0")/../lib/postgres.sh"
psql -q -c "vacuum full results" -c "analyze results" -c "reindex table results"
