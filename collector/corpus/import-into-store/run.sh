mkdir "$STORE/new"
wget -q -r -nH -P "$STORE/new" "http://$APPROVED:8082/"
