"""Multipart forms written by hand, for bodies that no client library makes."""

from __future__ import annotations

TYPE = "multipart/form-data; boundary=b"
HEAD = (
    b'--b\r\nContent-Disposition: form-data; name="pipeline_id"\r\n\r\ncount\r\n'
    b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.mp4"\r\n\r\n'
)
TAIL = b"\r\n--b--\r\n"
