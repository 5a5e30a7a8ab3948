"""Reads every file of a folder and writes it anew in its place, other than it was, as encryption does, or recompression."""
import os
import sys

for folder, _, names in os.walk(sys.argv[1]):
    for name in names:
        with open(os.path.join(folder, name), "r+b") as file:
            content = file.read()
            file.seek(0)
            file.write(bytes(byte ^ 0x5A for byte in content))
