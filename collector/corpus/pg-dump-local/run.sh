. "$(dirname "$0")/../lib/postgres.sh"
pg_dump -t results | gzip > "$WORK/nightly.gz"
