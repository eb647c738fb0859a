"""The web UI: files that were built beforehand, and the headers that keep a page from running anything else."""

import mimetypes
import secrets
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response

from isthmus.server.adapters.http.access import API
from isthmus.server.adapters.http.edge import App, Receive, Scope, Send
from isthmus.server.adapters.http.errors import on_failure

FOLDER = Path(__file__).parents[1] / "ui"
INDEX = "index.html"
NONCE = "__CSP_NONCE__"
FOREVER = "public, max-age=31536000, immutable"
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'nonce-{nonce}'; img-src 'self' data: blob:; "
    "font-src 'self'; connect-src 'self'; worker-src 'self'; manifest-src 'self'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'"
)


@dataclass(frozen=True, slots=True)
class Asset:
    """A file whose name holds a digest of what is in it, so that browsers may keep it."""

    body: bytes
    media_type: str


class WebUi:
    """Answers what is not of the API: a file of the UI, or its page for every other path that a browser asks for.

    All files are read once: they are few, small, and nothing that a request names ever reaches the file system.
    """

    def __init__(self, app: App, folder: Path = FOLDER) -> None:
        self._app = app
        self._folder = folder

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope.get("path", "")
        if scope["type"] != "http" or scope["method"] not in {"GET", "HEAD"} or not self._is_for_people(scope, path):
            await self._app(scope, receive, send)
            return
        try:
            asset = self._assets.get(path)
            response = _page(self._index) if asset is None else _kept(asset)
        except Exception as failure:  # noqa: BLE001  # `on_failure` logs it
            scope["app"] = self._app
            response = await on_failure(Request(scope), failure)
        await response(scope, receive, send)

    def _is_for_people(self, scope: Scope, path: str) -> bool:
        """Whether it is a file, or a page: an unknown path of the API stays a problem document."""
        if not self._index or path in self._assets:
            return bool(self._index)
        accepts = next((value for name, value in scope["headers"] if name == b"accept"), b"")
        return not path.startswith((f"{API}/", "/api", "/federation")) and b"text/html" in accepts

    @cached_property
    def _assets(self) -> dict[str, Asset]:
        found = (each for each in self._folder.rglob("*") if each.is_file() and each.name != INDEX)
        return {f"/{each.relative_to(self._folder).as_posix()}": _asset(each) for each in found}

    @cached_property
    def _index(self) -> str:
        """Empty where the UI was not built: then the API answers for every path."""
        try:
            return (self._folder / INDEX).read_text("utf-8")
        except OSError:
            return ""


def _page(index: str) -> Response:
    nonce = secrets.token_urlsafe(16)
    headers = {
        "Content-Security-Policy": POLICY.format(nonce=nonce),
        "Cache-Control": "no-store",
        "Cross-Origin-Opener-Policy": "same-origin",
        "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    }
    return Response(index.replace(NONCE, nonce), headers=headers, media_type="text/html")


def _asset(path: Path) -> Asset:
    return Asset(path.read_bytes(), mimetypes.guess_type(path.name)[0] or "application/octet-stream")


def _kept(asset: Asset) -> Response:
    return Response(asset.body, headers={"Cache-Control": FOREVER}, media_type=asset.media_type)
