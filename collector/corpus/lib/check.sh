# Shared by the scripts: proof that records really arrived.

# arrived FILE BYTES: waits until FILE, or the folder FILE, holds at least so many bytes.
arrived() {
    for _ in $(seq 100); do
        bytes=$(find "$1" -type f -printf '%s\n' 2>/dev/null | awk '{ sum += $1 } END { print sum + 0 }')
        if [ "$bytes" -ge "$2" ]; then return 0; fi
        sleep 0.1
    done
    echo "only $bytes of at least $2 bytes arrived at $1" >&2
    return 1
}

# size DIR: bytes of the files in it.
size() {
    find "$1" -type f -printf '%s\n' | awk '{ sum += $1 } END { print sum + 0 }'
}
