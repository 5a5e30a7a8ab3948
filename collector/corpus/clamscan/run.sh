printf 'Test.Sig:0:*:deadbeefcafebabe0011223344556677\n' > "$WORK/t.ndb"
clamscan --quiet -r -d "$WORK/t.ndb" "$STORE"
