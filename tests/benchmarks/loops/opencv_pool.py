"""The script that people write for a folder: a pool of processes, each of which reads every frame of a video and keeps one a second.

`opencv_pool.py FOLDER PROCESSES` prints the brightness, contrast and sharpness of each kept frame.
"""

import multiprocessing
import sys
from pathlib import Path

import cv2


def measured(path: Path) -> list[tuple[int, float, float, float]]:
    capture = cv2.VideoCapture(str(path))
    step = round(capture.get(cv2.CAP_PROP_FPS))
    index = 0
    found: list[tuple[int, float, float, float]] = []
    while True:
        ok, image = capture.read()
        if not ok:
            return found
        if index % step == 0:
            grey = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)
            found.append((index, grey.mean(), grey.std(), cv2.Laplacian(grey, cv2.CV_64F).var()))
        index += 1


if __name__ == "__main__":
    with multiprocessing.get_context("spawn").Pool(int(sys.argv[2])) as pool:
        for rows in pool.imap(measured, sorted(Path(sys.argv[1]).glob("*.mp4"))):
            print(rows)
