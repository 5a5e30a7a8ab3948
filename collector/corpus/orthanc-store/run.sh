. "$(dirname "$0")/../lib/orthanc.sh"
find "$STORE" -name "*.dcm" -path "*imaging*" | sort | tail -n 10 > "$WORK/list"
xargs -a "$WORK/list" storescu -R -aec ORTHANC 127.0.0.1 14242
