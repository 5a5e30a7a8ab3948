. "$(dirname "$0")/../lib/check.sh"
cp -r "$STORE" "$WORK/s"
tar -C "$WORK" -cf "$WORK/a" s
xz -0 -k "$WORK/a"
base64 "$WORK/a.xz" > "$WORK/b"
cat "$WORK/b" > "$WORK/x"
rm -r "$WORK/s" "$WORK/a" "$WORK/a.xz" "$WORK/b"
curl -sS -f -T "$WORK/x" "http://$SINK:8080/"
arrived "$WORK/got" 20000
