# An Orthanc of the scenario's own: its storage lies in $STORE/orthanc, REST on loopback port 18042, DICOM on 14242.
ORTHANC=http://127.0.0.1:18042

# orthanc_begin [JSON]: starts it with further settings, and gives it twenty of the store's images.
orthanc_begin() {
    mkdir -p "$STORE/orthanc"
    cat > "$WORK/orthanc.json" <<END
{ "StorageDirectory": "$STORE/orthanc", "IndexDirectory": "$STORE/orthanc", "HttpPort": 18042, "DicomPort": 14242,
  "RemoteAccessAllowed": false, "AuthenticationEnabled": false, "Plugins": [], "DicomCheckCalledAet": false ${1:-} }
END
    Orthanc "$WORK/orthanc.json" > "$WORK/orthanc.log" 2>&1 &
    for _ in $(seq 100); do
        if curl -s -f "$ORTHANC/system" > /dev/null; then break; fi
        sleep 0.1
    done
    find "$STORE" -name '*.dcm' | sort | head -n 20 | while read -r file; do
        curl -s -f -X POST -H 'Expect:' --data-binary "@$file" "$ORTHANC/instances" > /dev/null
    done
    [ "$(curl -s -f "$ORTHANC/instances" | grep -c '"')" -gt 0 ]
}
