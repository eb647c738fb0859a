"""Browsers: their session is a cookie, so what they send counts only where our own pages have sent it."""

import hashlib
import hmac
from base64 import urlsafe_b64encode
from collections.abc import Sequence
from datetime import datetime
from ipaddress import ip_address
from urllib.parse import urlsplit

from starlette.requests import HTTPConnection
from starlette.responses import Response

from isthmus.domain.errors import CsrfFailed, OriginNotAllowed

SESSION = "__Host-isthmus-session"
CSRF = "__Host-isthmus-csrf"
FLOW = "__Host-isthmus-sign-in"
FLOW_SECONDS = 600
CSRF_HEADER = "X-CSRF-Token"
SAFE = frozenset({"GET", "HEAD", "OPTIONS"})


def csrf_of(session: str) -> str:
    """What a page of ours sends beside the cookie: made of the session, so that nobody can plant one that fits."""
    mac = hmac.digest(session.encode("utf-8", "surrogatepass"), b"isthmus csrf 1", hashlib.sha256)
    return urlsafe_b64encode(mac).rstrip(b"=").decode()


def session_of(connection: HTTPConnection) -> str | None:
    return connection.cookies.get(SESSION) or None


def is_ours(connection: HTTPConnection, origins: Sequence[str]) -> bool:
    """Whether the page that sent this is one that this server has served.

    `origins` are those that an operator has named. Without any, a page counts whose origin is the host that was asked,
    as far as that is this machine or a plain address: a name could be one that somebody points at us.
    """
    origin = connection.headers.get("origin")
    if origin is None:
        return False
    if origins:
        return origin in origins
    try:
        parts = urlsplit(origin)
        host = parts.hostname or ""
    except ValueError:
        return False
    return parts.netloc == connection.headers.get("host") and _needs_no_name(host)


def _needs_no_name(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
    return True


def check_mutation(connection: HTTPConnection, session: str | None, origins: Sequence[str]) -> None:
    """Raises `CsrfFailed` for a mutation that a page of another site has sent, or one of ours without the token."""
    if "origin" in connection.headers and not is_ours(connection, origins):
        raise CsrfFailed("a page of another origin may change nothing here")
    if session is None:
        return
    given = connection.headers.get(CSRF_HEADER, "")
    if not is_ours(connection, origins) or not hmac.compare_digest(csrf_of(session).encode(), given.encode()):
        raise CsrfFailed(f"a change by a browser carries its origin, and {CSRF_HEADER}")


def check_socket(connection: HTTPConnection, origins: Sequence[str]) -> None:
    """Raises `OriginNotAllowed` for a WebSocket that a page of another site opens."""
    if "origin" in connection.headers and not is_ours(connection, origins):
        raise OriginNotAllowed(connection.headers["origin"][:128])


def sign_in(response: Response, session: str, until: datetime) -> None:
    for name, value, is_hidden in ((SESSION, session, True), (CSRF, csrf_of(session), False)):
        response.set_cookie(name, value, expires=until, path="/", secure=True, httponly=is_hidden, samesite="strict")


def keep_flow(response: Response, secret: str) -> None:
    """What a sign-in with an identity provider is ended by, in the browser that has begun it."""
    response.set_cookie(FLOW, secret, max_age=FLOW_SECONDS, path="/", secure=True, httponly=True, samesite="strict")


def flow_of(connection: HTTPConnection) -> str | None:
    return connection.cookies.get(FLOW) or None


def forget_flow(response: Response) -> None:
    response.delete_cookie(FLOW, path="/", secure=True, httponly=True, samesite="strict")


def sign_out(response: Response) -> None:
    for name in (SESSION, CSRF):
        response.delete_cookie(name, path="/", secure=True, samesite="strict")
