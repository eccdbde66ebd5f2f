"""The same with PyAV: decode every frame, convert every Nth. `pyav_loop.py CLIP STRIDE [crc]`."""

import sys
import zlib

import av

path, stride, checks = sys.argv[1], int(sys.argv[2]), sys.argv[3:] == ["crc"]
with av.open(path) as container:
    stream = container.streams.video[0]
    stream.thread_type = "AUTO"
    for index, frame in enumerate(container.decode(stream)):
        if index % stride == 0:
            image = frame.to_ndarray(format="bgr24")
            print(index, zlib.crc32(image.data) if checks else "")
