"""The loop that people write: `read()` every frame, keep every Nth.

`opencv_loop.py CLIP STRIDE [crc]` prints the index of each kept frame, and with `crc` the checksum of its pixels.
"""

import sys
import zlib

import cv2

path, stride, checks = sys.argv[1], int(sys.argv[2]), sys.argv[3:] == ["crc"]
capture = cv2.VideoCapture(path)
index = 0
while True:
    ok, image = capture.read()
    if not ok:
        break
    if index % stride == 0:
        print(index, zlib.crc32(image.data) if checks else "")
    index += 1
