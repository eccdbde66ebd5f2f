"""Who may use the service: the token, the page's cookie, and requests that a page of another site sends.

Pure ASGI, so that nothing is read before it has decided and nothing that streams is held back.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
from collections.abc import Iterable
from urllib.parse import urlsplit

from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from videodag_cli.errors import printable
from videodag_cli.server.problems import ServiceError, problem
from videodag_cli.server.settings import LOOPBACK, Settings

COOKIE = "videodag"
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
OPEN_PATHS = frozenset({"/", "/session", "/health/live", "/health/ready", "/openapi.json", "/favicon.ico"})
"""What works without a token: the page itself, which asks for it, and what says whether the service lives."""
OPEN_FOLDER = "/assets/"
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; media-src 'self' blob:; connect-src 'self'; "
    "form-action 'none'; base-uri 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "x-frame-options": "DENY",
}


class Access:
    """Around the whole service."""

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self._app, self._settings = app, settings

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                present = {name.lower() for name, _ in message["headers"]}
                added = [(n.encode(), v.encode()) for n, v in HEADERS.items() if n.encode() not in present]
                message["headers"] = [*message["headers"], *added]
                if b"cache-control" not in present:
                    message["headers"].append((b"cache-control", b"no-store"))
            await send(message)

        refusal = self._refusal(HTTPConnection(scope), str(scope["method"]))
        if refusal is None:
            await self._app(scope, receive, sending)
        else:
            await problem(refusal)(scope, receive, sending)

    def _refusal(self, connection: HTTPConnection, method: str) -> ServiceError | None:
        host = connection.headers.get("host", "")
        if not is_known_host(host, self._settings.names):
            return ServiceError(
                f"this service does not answer to the name {printable(host, limit=100)!r}; --allow-host NAME allows it",
                word="service.access",
                status=421,
            )
        if method not in SAFE_METHODS and not _is_same_site(connection, host):
            return ServiceError("a page of another site cannot change anything here", word="service.access")
        path = connection.scope["path"]
        if path in OPEN_PATHS or path.startswith(OPEN_FOLDER) or self.is_allowed(connection):
            return None
        return ServiceError(
            "give the token of this service: Authorization: Bearer TOKEN",
            word="service.access",
            status=401,
            headers={"WWW-Authenticate": 'Bearer realm="videodag"'},
        )

    def is_allowed(self, connection: HTTPConnection) -> bool:
        """Whether the request has the token, as a header or as the page's cookie."""
        token = self._settings.token
        if token is None:
            return True
        scheme, _, given = connection.headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer" and is_equal(given.strip(), token):
            return True
        return is_equal(connection.cookies.get(COOKIE, ""), cookie_value(token))


def is_equal(given: str, right: str) -> bool:
    return hmac.compare_digest(given.encode("utf-8", "replace"), right.encode())


def cookie_value(token: str) -> str:
    """What the page's cookie holds: it proves the token and does not tell it."""
    return hmac.new(token.encode(), b"videodag page", hashlib.sha256).hexdigest()


def is_known_host(host: str, names: Iterable[str]) -> bool:
    """Whether a `Host` is this service's: an address, a loopback name, or a name it was given (a page of another site has its own name)."""
    try:
        name = (urlsplit(f"//{host}").hostname or "").rstrip(".").lower()
    except ValueError:
        return False
    if name in LOOPBACK or name.endswith(".localhost") or name in {known.lower() for known in names}:
        return True
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _is_same_site(connection: HTTPConnection, host: str) -> bool:
    """Whether no page of another site sent this; programs other than browsers say nothing about it."""
    if connection.headers.get("sec-fetch-site", "none") not in ("none", "same-origin"):
        return False
    origin = connection.headers.get("origin")
    return origin is None or urlsplit(origin).netloc.lower() == host.lower()
