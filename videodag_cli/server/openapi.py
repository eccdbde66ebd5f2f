"""The OpenAPI document: each answer that a route may give, with its headers and its forms of errors."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from videodag_cli.server.access import COOKIE
from videodag_cli.server.answers import Problem, form_schema
from videodag_cli.server.problems import MEDIA_TYPE

Responses = dict[int | str, dict[str, Any]]
_TOLD = {
    400: "The form is broken.",
    403: "A page of another site asks for a change.",
    404: "There is no such job or pipeline.",
    408: "The client stopped sending.",
    409: "The job is not complete.",
    410: "The files of the job were removed.",
    413: "The upload is larger than this service takes.",
    415: "The upload is not an MP4 or MOV file, or the request is not a form.",
    416: "The file does not have this range.",
    421: "The service does not answer to this `Host`.",
    422: "A field or parameter is wrong; `field` names it. Or, where results were waited for: the job failed.",
    429: "Too many jobs wait.",
    500: "An unexpected error.",
    507: "The disk is full.",
}
_TEXT = {"schema": {"type": "string"}}
_HEADERS = {
    401: {"WWW-Authenticate": "`Bearer`"},
    416: {"Content-Range": "`bytes */SIZE`"},
    429: {"Retry-After": "Seconds."},
}


def header(description: str) -> dict[str, Any]:
    return {"description": description, "schema": {"type": "string"}}


def errors(*statuses: int) -> Responses:
    """Problems that a route may answer, besides those of every route."""
    return {status: _problem(status) for status in (*statuses, 421, 500)}


def _problem(status: int) -> dict[str, Any]:
    headers = {name: header(text) for name, text in _HEADERS.get(status, {}).items()}
    return {
        "description": _TOLD.get(status, HTTPStatus(status).phrase),
        "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
        **({"headers": headers} if headers else {}),
    }


def files(*kinds: str) -> Responses:
    """A file of one of these types, whole or a range of it. `HEAD` answers the headers alone."""
    content = dict.fromkeys(kinds, _TEXT)
    whole = {"Accept-Ranges": header("`bytes`"), "Content-Length": header("Bytes."), "ETag": header("For `If-Range`.")}
    return {
        200: {"content": content, "headers": whole},
        206: {
            "content": content,
            "description": "A range of it",
            "headers": {**whole, "Content-Range": header("`bytes FIRST-LAST/SIZE`")},
        },
    }


UPLOAD: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": form_schema(),
                "encoding": {"options": {"contentType": "application/json"}},
            }
        },
    },
    "parameters": [
        {
            "name": "Prefer",
            "in": "header",
            "schema": {"type": "string"},
            "description": "`wait=30`: answer with the results if they are ready within this many seconds.",
        },
        {
            "name": "Idempotency-Key",
            "in": "header",
            "schema": {"type": "string", "pattern": "^[!-~]{1,200}$"},
            "description": "If it is sent again with the same request, the answer is the job that it made.",
        },
    ],
}
"""What the function that reads an upload by itself does not tell."""


EVENTS: dict[str, Any] = {
    "itemSchema": {
        "type": "object",
        "properties": {
            "event": {"const": "job"},
            "data": {
                "type": "string",
                "contentMediaType": "application/json",
                "contentSchema": {"$ref": "#/components/schemas/JobView"},
            },
        },
        "required": ["data"],
    }
}
"""Server-sent events."""


def complete(document: dict[str, Any], *, has_token: bool) -> dict[str, Any]:
    """The document with what is true of every route: the problem's form, and the token where one is needed."""
    components = document.setdefault("components", {})
    components.setdefault("schemas", {})["Problem"] = Problem.model_json_schema()
    if not has_token:
        return document
    components["securitySchemes"] = {
        "token": {"type": "http", "scheme": "bearer", "description": "`VIDEODAG_TOKEN` of the service."},
        "cookie": {
            "type": "apiKey",
            "in": "cookie",
            "name": COOKIE,
            "description": "What the page gets for the token.",
        },
    }
    for path, operations in document["paths"].items():
        for operation in operations.values():
            if path in OPEN:
                continue
            operation["security"] = [{"token": []}, {"cookie": []}]
            operation["responses"]["401"] = _problem(401)
    return document


OPEN = ("/health/live", "/health/ready")
"""What is documented and works without the token."""
