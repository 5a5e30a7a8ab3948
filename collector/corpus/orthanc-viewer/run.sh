. "$(dirname "$0")/../lib/orthanc.sh"
for id in $(curl -s -f "$ORTHANC/instances" | tr -d '[]", '); do curl -s -f -o "$WORK/$id" "$ORTHANC/instances/$id/file"; done
