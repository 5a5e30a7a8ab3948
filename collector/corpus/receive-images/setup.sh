mkdir "$WORK/mod"; find "$STORE" -name '*.dcm' | sort | head -n 100 | xargs cp -t "$WORK/mod"
mkdir "$STORE/incoming"
