"""JSON documents of an identity provider by HTTP: bounded in time and size, and with one meaning."""

from collections.abc import Mapping
from typing import Any

import aiohttp
import msgspec

from isthmus.protocol import plain_json
from isthmus.server.identity_ports import ProviderUnavailable

SECONDS = 10.0
CONNECT_SECONDS = 4.0
MOST_BYTES = 256 * 1024
MOST_CONNECTIONS = 8


class Documents:
    """Connections are opened with the first call and kept until `aclose`. Redirects are not followed: where a
    provider's documents are is said by its issuer, and by the document that is there."""

    def __init__(self) -> None:
        self._session: aiohttp.ClientSession | None = None

    async def get(self, url: str) -> dict[str, Any]:
        """What is at `url`. Raises `ProviderUnavailable`."""
        status, document = await self._asked("GET", url)
        if status != 200:
            raise ProviderUnavailable(f"{url} answers {status}")
        return document

    async def post(
        self, url: str, form: Mapping[str, str], auth: aiohttp.BasicAuth | None
    ) -> tuple[int, dict[str, Any]]:
        """The status and what was answered. Raises `ProviderUnavailable`."""
        return await self._asked("POST", url, data=form, auth=auth)

    async def _asked(self, method: str, url: str, **given: Any) -> tuple[int, dict[str, Any]]:
        # Packed, a small answer could become a large one before its size is known.
        headers = {"Accept": "application/json", "Accept-Encoding": "identity"}
        try:
            async with self._opened().request(method, url, headers=headers, allow_redirects=False, **given) as answer:
                return answer.status, _object_in(await _read(answer))
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
            raise ProviderUnavailable(f"{url}: {type(error).__name__}: {str(error)[:200]}") from None

    def _opened(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=MOST_CONNECTIONS),
                timeout=aiohttp.ClientTimeout(total=SECONDS, connect=CONNECT_SECONDS),
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
                trust_env=False,
            )
        return self._session

    async def aclose(self) -> None:
        if self._session is not None:
            await self._session.close()


async def _read(answer: aiohttp.ClientResponse) -> bytes:
    parts, size = [], 0
    async for part in answer.content.iter_any():
        parts.append(part)
        size += len(part)
        if size > MOST_BYTES:
            raise ValueError(f"the answer is larger than {MOST_BYTES} bytes")
    return b"".join(parts)


def _object_in(raw: bytes) -> dict[str, Any]:
    try:
        plain_json.check(raw, plain_json.RESPONSE)
    except plain_json.NotPlain as refusal:
        raise ValueError(refusal.detail) from None
    found = msgspec.json.decode(raw)
    if not isinstance(found, dict):
        raise ValueError("the answer is no object")
    return found
