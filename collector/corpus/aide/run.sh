printf 'database_out=file:%s/db\n%s R+sha256\n' "$WORK" "$STORE" > "$WORK/conf"
aide --init -c "$WORK/conf" > /dev/null
