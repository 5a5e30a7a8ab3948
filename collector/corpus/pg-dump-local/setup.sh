. "$(dirname "$0")/../lib/postgres.sh"
pg_begin
