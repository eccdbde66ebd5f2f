"""Errors as problem details (RFC 9457): `type` carries the stable word, `detail` the sentence that the command line prints."""

from __future__ import annotations

import os
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import orjson
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Match

from videodag_cli.errors import WORDS, InputError, OutputError, RequestError, VideodagError, printable
from videodag_cli.server.request import FieldError
from videodag_cli.server.trouble import report

TYPE = "urn:videodag:error:"
MEDIA_TYPE = "application/problem+json"
_STATUS = {
    "pipeline.unknown": 404,
    "service.unknown": 404,
    "service.unfinished": 409,
    "service.form": 400,
    "service.access": 403,
    "service.busy": 429,
    "input.not_mp4": 415,
    "input.limit": 413,
    "output.full": 507,
}


class ServiceError(RequestError):
    """An error that only exists over HTTP; `status` where the word does not decide it."""

    default_word = "service.unknown"

    def __init__(
        self,
        message: str,
        *,
        word: str | None = None,
        status: int | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message, word=word)
        self.status = status
        self.headers = headers


def status_of(error: VideodagError) -> int:
    if isinstance(error, ServiceError) and error.status is not None:
        return error.status
    return _STATUS.get(error.word, 422 if isinstance(error, RequestError | InputError) else 500)


def problem(error: VideodagError, **more: Any) -> Response:
    """The response for an error; `more` are further members."""
    if isinstance(error, FieldError):
        more["field"] = error.field
    headers = error.headers if isinstance(error, ServiceError) else None
    return _response(status_of(error), error.word, error.message, headers=headers, **more)


def problem_members(word: str, message: str) -> dict[str, str]:
    """What says which error it is."""
    return {"type": TYPE + word, "title": WORDS.get(word, word), "detail": message, "word": word}


def _response(
    status: int, word: str, message: str, *, headers: Mapping[str, str] | None = None, **more: Any
) -> Response:
    body = {**problem_members(word, message), "status": status, **more}
    return Response(orjson.dumps(body), status, dict(headers or {}), MEDIA_TYPE)


async def on_error(request: Request, error: Exception) -> Response:
    """Any exception as a response."""
    if isinstance(error, OutputError):  # where the service keeps its data is nobody's business
        message = error.message.replace(f"{printable(request.app.state.root)}{os.sep}", "")
        return _response(status_of(error), error.word, message)
    if isinstance(error, VideodagError):
        return problem(error)
    if isinstance(error, RequestValidationError):
        fields = [".".join(printable(part, limit=60) for part in item["loc"][1:]) for item in error.errors()]
        told = [f"{name}: {item['msg']}" for name, item in zip(fields, error.errors(), strict=True)]
        return _response(422, "usage", "; ".join(told), field=fields[0] if fields else "")
    if isinstance(error, HTTPException):
        word = "service.unknown" if error.status_code == 404 else "usage"
        told_ = (
            f"{request.method} {printable(request.url.path, limit=200)}: {HTTPStatus(error.status_code).phrase.lower()}"
        )
        headers = {"Allow": ", ".join(_methods(request))} if error.status_code == 405 else error.headers
        return _response(error.status_code, word, told_, headers=headers)
    if isinstance(error, ClientDisconnect):
        return Response(status_code=400)  # for the metrics; nobody is there to read it
    report(f"{request.method} {printable(request.url.path, limit=200)}", error)
    return _response(500, "internal", f"{type(error).__name__}: {printable(error, limit=300)}")


def _methods(request: Request) -> list[str]:
    """What the address of a request answers, whichever of its routes was asked."""
    found: set[str] = set()
    for route in request.app.routes:
        if route.matches(request.scope)[0] is not Match.NONE:
            found |= set(getattr(route, "methods", ()))
    return sorted(found)
