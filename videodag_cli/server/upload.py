"""An upload as it comes in: a multipart form that is read piece by piece, its file written to the disk, never held in memory."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import io
import os
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, cast

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request

from videodag_cli.errors import InputError, printable
from videodag_cli.server.problems import ServiceError
from videodag_cli.server.request import MAX_OPTIONS_BYTES, FieldError
from videodag_cli.system.files import open_new
from videodag_cli.system.refusals import writing
from videodag_cli.video.atoms import require_signature

if TYPE_CHECKING:
    from python_multipart.multipart import MultipartCallbacks

FIELDS = ("file", "pipeline_id", "options")
WRITE_BYTES = 1 << 20
SIGNATURE_BYTES = 512
IDLE_S = 60.0
"""A client that sends nothing for this long is given up."""
DRAIN_BYTES = 8 << 20
"""So much of a refused body is read before the answer, since many clients do not listen before they have sent everything."""


@dataclass
class Received:
    """A whole form."""

    path: Path
    """The file, under a name of our own."""
    file_name: str
    file_bytes: int
    fields: dict[str, str]
    file_sha256: str | None = None


EarlyCheck = Callable[[dict[str, str], bool], Awaitable[None]]
"""Told the fields that are known when one has come; the second argument is True when the file begins."""


@dataclass
class _Form:
    """What the parser has seen."""

    max_bytes: int
    fields: dict[str, str] = field(default_factory=dict)
    name: str = ""
    file_name: str = ""
    file_bytes: int = 0
    has_file: bool = False
    file_done: bool = False
    ended: bool = False
    news: bool = False
    pending: bytearray = field(default_factory=bytearray)
    _headers: dict[str, bytes] = field(default_factory=dict)
    _header: bytearray = field(default_factory=bytearray)
    _value: bytearray = field(default_factory=bytearray)
    _text: bytearray = field(default_factory=bytearray)

    def on_part_begin(self) -> None:
        self._headers = {}
        self._text = bytearray()

    def on_header_field(self, data: bytes, start: int, end: int) -> None:
        self._header += data[start:end]

    def on_header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def on_header_end(self) -> None:
        self._headers[self._header.decode("latin-1").lower()] = bytes(self._value)
        self._header, self._value = bytearray(), bytearray()

    def on_headers_finished(self) -> None:
        _, options = parse_options_header(self._headers.get("content-disposition", b""))
        self.name = options.get(b"name", b"").decode("utf-8", "replace")
        if self.name not in FIELDS:
            raise FieldError(printable(self.name, limit=60), f"is not a field of this form; known: {', '.join(FIELDS)}")
        if self.name in self.fields or (self.name == "file" and self.has_file):
            raise FieldError(self.name, "is given twice")
        if self.name == "file":
            given = options.get(b"filename", b"").decode("utf-8", "replace").replace("\\", "/")
            self.file_name = printable(given.rpartition("/")[2], limit=200) or "video"
            self.has_file = self.news = True

    def on_part_data(self, data: bytes, start: int, end: int) -> None:
        if self.name == "file":
            self.file_bytes += end - start
            if self.file_bytes > self.max_bytes:
                raise too_large(self.max_bytes)
            self.pending += memoryview(data)[start:end]
        else:
            self._text += data[start:end]
            if len(self._text) > MAX_OPTIONS_BYTES:
                raise FieldError(self.name, f"is longer than {MAX_OPTIONS_BYTES >> 20} MiB")

    def on_part_end(self) -> None:
        if self.name == "file":
            self.file_done = True
            return
        try:
            self.fields[self.name] = self._text.decode()
        except UnicodeDecodeError as error:
            raise FieldError(self.name, "is not valid UTF-8") from error
        self.news = True

    def on_end(self) -> None:
        self.ended = True


def too_large(max_bytes: int) -> InputError:
    return InputError(
        f"the upload is larger than {max_bytes} bytes, the limit of this service (--max-upload)", word="input.limit"
    )


async def receive(
    request: Request, folder: Path, *, max_bytes: int, early: EarlyCheck, digest: bool = False
) -> Received:
    """Read the form of a request; the file goes to a new file in `folder`, which is the caller's if all is well and gone if not.

    digest: also compute the SHA-256 of the file.
    """
    boundary = _boundary(request)
    declared = request.headers.get("content-length", "")
    rest = int(declared) if declared.isdigit() else None
    if rest is not None and rest > max_bytes + 2 * MAX_OPTIONS_BYTES:
        raise too_large(max_bytes)
    path = folder / f"{secrets.token_hex(16)}.upload"
    form = _Form(max_bytes)
    hashing = hashlib.sha256() if digest else None
    stream = request.stream()
    read = 0
    try:
        with writing("the upload"):
            fd = open_new(path)
        try:
            parser = MultipartParser(boundary, cast("MultipartCallbacks", _callbacks(form)))
            checked = False
            while True:
                try:
                    async with asyncio.timeout(IDLE_S):
                        chunk = await anext(stream, None)
                except TimeoutError as error:
                    raise ServiceError(f"nothing arrived for {IDLE_S:g} s", word="service.form", status=408) from error
                if chunk is None:
                    break
                if chunk:
                    read += len(chunk)
                    parser.write(chunk)
                if form.news:
                    form.news = False
                    await early(form.fields, form.has_file)
                if not checked and (form.file_done or len(form.pending) >= SIGNATURE_BYTES):
                    require_signature(
                        io.BytesIO(bytes(form.pending[:SIGNATURE_BYTES])), form.file_bytes, form.file_name
                    )
                    checked = True
                if len(form.pending) >= WRITE_BYTES:
                    await _flush(fd, form, hashing)
            parser.finalize()
            if not form.ended:
                raise ServiceError("the form ends early: the closing boundary is missing", word="service.form")
            await _flush(fd, form, hashing)
            await run_in_threadpool(_sync, fd)
        finally:
            os.close(fd)
        if not form.has_file:
            raise FieldError("file", "is missing; give an MP4 or MOV file")
        return Received(
            path, form.file_name, form.file_bytes, form.fields, None if hashing is None else hashing.hexdigest()
        )
    except BaseException as error:
        with contextlib.suppress(OSError):
            path.unlink()
        if rest is not None and rest - read <= DRAIN_BYTES and isinstance(error, Exception):
            with contextlib.suppress(Exception):
                async with asyncio.timeout(5):
                    async for _ in stream:
                        pass
        if isinstance(error, FormParserError):
            raise ServiceError(f"not a multipart form: {printable(error, limit=200)}", word="service.form") from error
        raise


def _boundary(request: Request) -> bytes:
    kind, options = parse_options_header(request.headers.get("content-type", ""))
    boundary = options.get(b"boundary", b"")
    if kind != b"multipart/form-data" or not 0 < len(boundary) <= 200:
        raise ServiceError(
            "send a multipart form (multipart/form-data with a boundary) with the fields file, pipeline_id and options",
            word="service.form",
            status=415 if kind != b"multipart/form-data" else 400,
        )
    return boundary


def _callbacks(form: _Form) -> dict[str, Callable[..., None]]:
    names = (
        "part_begin",
        "part_data",
        "part_end",
        "header_field",
        "header_value",
        "header_end",
        "headers_finished",
        "end",
    )
    return {f"on_{name}": getattr(form, f"on_{name}") for name in names}


async def _flush(fd: int, form: _Form, hashing: hashlib._Hash | None) -> None:
    data, form.pending = form.pending, bytearray()
    if data:
        await run_in_threadpool(_write, fd, data, hashing)


def _write(fd: int, data: bytearray, hashing: hashlib._Hash | None) -> None:
    if hashing is not None:
        hashing.update(data)
    with writing("the upload"):
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(fd, rest) :]


def _sync(fd: int) -> None:
    with writing("the upload"):
        os.fsync(fd)
