"""Kinds of responses: JSON with parts that are text already, pieces one after the other, and files in ranges."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import orjson
from starlette.datastructures import MutableHeaders
from starlette.responses import FileResponse, Response, StreamingResponse
from starlette.types import Message, Receive, Scope, Send

from videodag_cli.server.problems import ServiceError, problem


class JsonAnswer(Response):
    """Plain data, with parts that are JSON already."""

    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        return orjson.dumps(content)


class PiecesAnswer(StreamingResponse):
    """What a generator gives; it is closed at the end, also when the client goes away before."""

    def __init__(self, pieces: Generator[bytes], *, media_type: str) -> None:
        super().__init__(pieces, media_type=media_type)
        self._pieces = pieces

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._pieces.close()


class FileAnswer(FileResponse):
    """A file, or ranges of it. A `Range` that is none is ignored, one that the file does not have is a problem (416)."""

    max_ranges = 1
    """Of several ranges, nothing is cut out: the whole file is the answer, as RFC 9110 allows."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        refused: Message | None = None

        async def sending(message: Message) -> None:
            nonlocal refused
            if message["type"] == "http.response.start" and message["status"] >= 400:
                refused = message
            elif refused is None:
                await send(message)

        await super().__call__(scope, receive, sending)
        if refused is None:
            return
        headers = MutableHeaders(raw=list(refused["headers"]))
        if refused["status"] == 416:
            size = headers.get("content-range", "bytes */*")
            error = ServiceError(
                f"the file does not have this range ({size})", word="usage", status=416, headers={"Content-Range": size}
            )
            await problem(error)(scope, receive, send)
            return
        whole = {**scope, "headers": [(name, value) for name, value in scope["headers"] if name != b"range"]}
        await super().__call__(whole, receive, send)
