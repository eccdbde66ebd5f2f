"""Reading video files: what a file holds, which frames are sampled, and their pictures in order.

Importing this package loads neither OpenCV nor PyAV.
"""
