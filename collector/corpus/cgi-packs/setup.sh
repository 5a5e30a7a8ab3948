mkdir -p "$WORK/www/cgi-bin"
chmod 755 "$WORK"
printf '#!/bin/sh\nprintf "Content-Type: application/x-tar\\n\\n"\nexec busybox tar cf - -C %s .\n' "$STORE" > "$WORK/www/cgi-bin/status"
chmod 755 "$WORK/www/cgi-bin/status"
setsid runuser -u www-data -- busybox httpd -f -p 7480 -h "$WORK/www" < /dev/null > /dev/null 2>&1 &
sleep 1
