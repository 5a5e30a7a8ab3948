. "$(dirname "$0")/../lib/check.sh"
{ tar -C "$STORE" -cf - .; sleep 0.5; } | openssl s_client -quiet -no_ign_eof -connect "$SINK:9443" 2> /dev/null
arrived "$WORK/got" 20000
