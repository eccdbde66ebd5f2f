"""The five nodes of `bench_five.json` in a hand-written loop, with videodag's own kernels.

`five_nodes.py CLIP STRIDE array` hands the decoded picture to each node; what two nodes need is computed once.
`five_nodes.py CLIP STRIDE jpeg` encodes each picture once as JPEG and decodes it in each node, as tools that pass frames as messages do.
"""

import json
import sys
from typing import Any

import cv2
import numpy as np

from videodag_cli import Frame
from videodag_cli.lines import plain
from videodag_cli.tools.codes import read
from videodag_cli.tools.motion import Flow, ForegroundDetector
from videodag_cli.tools.quality import black, sharpness

path, stride, handing = sys.argv[1], int(sys.argv[2]), sys.argv[3]
nodes: dict[str, Any] = {
    "foreground": ForegroundDetector(),
    "flow": Flow(),
    "sharpness": sharpness,
    "black": black,
    "codes": read,
}
capture = cv2.VideoCapture(path)
index = 0
while True:
    ok, image = capture.read()
    if not ok:
        break
    if index % stride == 0:
        time_s = capture.get(cv2.CAP_PROP_POS_MSEC) / 1000
        if handing == "jpeg":
            message = cv2.imencode(".jpg", image)[1]
            pictures = (cv2.imdecode(message, cv2.IMREAD_COLOR) for _ in nodes)
            frames = (Frame(np.asarray(picture, np.uint8), index, time_s) for picture in pictures)
        else:
            shared = Frame(np.asarray(image, np.uint8), index, time_s)
            frames = (shared for _ in nodes)
        found = {name: node(frame) for (name, node), frame in zip(nodes.items(), frames, strict=True)}
        print(json.dumps({"frame_index": index, "result": {name: plain(value) for name, value in found.items()}}))
    index += 1
