. "$(dirname "$0")/../lib/check.sh"
. "$(dirname "$0")/../lib/orthanc.sh"
for id in $(curl -s -f "$ORTHANC/patients" | tr -d '[]", '); do
    curl -s -f -o "$WORK/$id.zip" "$ORTHANC/patients/$id/archive"
    curl -sS -f -T "$WORK/$id.zip" "http://$SINK:8080/"
done
arrived "$WORK/got" 10000
