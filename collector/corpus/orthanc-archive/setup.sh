. "$(dirname "$0")/../lib/orthanc.sh"
orthanc_begin
