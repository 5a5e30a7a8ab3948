mkdir -p "$WORK/got"
exec storescp -aet PACS -od "$WORK/got" 11112
