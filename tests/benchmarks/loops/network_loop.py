"""The networks of a pipeline in a bare loop: `read()`, cut, resize, normalise, `run`. Nothing is made of what they put out.

`network_loop.py CLIP PIPELINE STRIDE LINES`; LINES holds the boxes of people, for networks that look inside them. Prints the number of
runs of each network.
"""

import json
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnxruntime

Picture = Any
MODELS = Path(__file__).parents[3] / "videodag_cli" / "models"
MEAN = np.array([103.53, 116.28, 123.675], np.float32)
DEVIATION = np.array([57.375, 57.12, 58.395], np.float32)
OVERLAP = 0.2

clip, pipeline, stride, lines = sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4]
onnxruntime.set_default_logger_severity(4)
runs: Counter[str] = Counter()


def session(name: str) -> Any:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(str(MODELS / name), options, providers=["CPUExecutionProvider"])


def letterbox(image: Picture, side: int, top_left: bool) -> Picture:
    ratio = side / max(image.shape[:2])
    resized = cv2.resize(image, (round(image.shape[1] * ratio), round(image.shape[0] * ratio)))
    canvas = np.zeros((side, side, 3), np.uint8)
    top = 0 if top_left else (side - resized.shape[0]) // 2
    left = 0 if top_left else (side - resized.shape[1]) // 2
    canvas[top : top + resized.shape[0], left : left + resized.shape[1]] = resized
    return canvas


def detect(image: Picture) -> None:
    picture = (letterbox(image, 416, True).astype(np.float32) - MEAN) / DEVIATION
    detector.run(None, {detector.get_inputs()[0].name: np.ascontiguousarray(picture.transpose(2, 0, 1)[None])})
    runs["people"] += 1


def face(image: Picture) -> None:
    picture = cv2.cvtColor(letterbox(image, 192, False), cv2.COLOR_BGR2RGB).astype(np.float32) / 127.5 - 1
    faces.run(None, {faces.get_inputs()[0].name: picture[None]})
    runs["face"] += 1


def pose(image: Picture, box: list[float]) -> None:
    left, top, right, bottom = box
    side = 1.25 * max(right - left, bottom - top)
    corner = ((left + right - side) / 2, (top + bottom - side) / 2)
    matrix = np.array([[side / 256, 0, corner[0]], [0, side / 256, corner[1]]])
    cut = cv2.warpAffine(image, matrix, (256, 256), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP)
    picture = cv2.cvtColor(cut, cv2.COLOR_BGR2RGB).astype(np.float32) / 255
    poses.run(None, {"image": picture[None], "want_mask": np.array(False)})
    runs["pose"] += 1


detector = session("nanodet_g_416_fp16.onnx")
faces: Any = session("blazeface_full_range_192.onnx") if pipeline == "faces" else None
poses: Any = session("blazepose_full_256.onnx") if pipeline == "people_pose" else None
people = {}
for line in Path(lines).read_text().splitlines() if faces or poses else ():
    read = json.loads(line)
    people[read["frame_index"]] = [row["xyxy"] for row in next(iter(read["result"].values()))]
capture = cv2.VideoCapture(clip)
index = 0
while True:
    ok, image = capture.read()
    if not ok:
        break
    if index % stride == 0:
        height, width = image.shape[:2]
        if pipeline in ("people", "people_pose"):
            part = round(width / (2 - OVERLAP))
            detect(image[:, :part])
            detect(image[:, width - part :])
        else:
            detect(image)
        if poses:
            for box in people[index]:
                pose(image, box)
        if faces:
            face(image)
            for left, top, right, bottom in people[index]:
                wide, high = 0.1 * (right - left), 0.1 * (bottom - top)
                part = image[max(0, int(top - high)) : int(bottom + high), max(0, int(left - wide)) : int(right + wide)]
                if min(part.shape[:2]) > 8:
                    face(part)
    index += 1
print(json.dumps(runs))
