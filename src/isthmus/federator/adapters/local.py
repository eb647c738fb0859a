"""The server of this backend, over its control socket: snapshots come from it, reports and nonces go to it."""

import asyncio
import time
from http import HTTPStatus
from pathlib import Path
from types import TracebackType

import msgspec
import structlog
from aiohttp import ClientError, ClientSession, ClientTimeout, UnixConnector

from isthmus.federator.ports import AlreadySeen, ReportRefused, ServerUnavailable
from isthmus.federator.snapshots import NewestSnapshot
from isthmus.protocol.federator import Nonce, Report, Snapshot

log = structlog.get_logger()

# Short, so that a server that hangs is told from one that has no news.
POLL_SECONDS = 10.0
SPARE_SECONDS = 5.0
CALL_SECONDS = 5.0
NONCE_SECONDS = 2.0
LEAST_PAUSE = 0.05
LONGEST_PAUSE = 1.0
EARLY = 0.9
REFUSALS = (HTTPStatus.BAD_REQUEST, HTTPStatus.REQUEST_ENTITY_TOO_LARGE, HTTPStatus.UNPROCESSABLE_ENTITY)


class Control:
    """Use it as a context manager. Every call has a deadline."""

    def __init__(self, socket: Path, replica: int = 1) -> None:
        self._replica = replica
        self._session = ClientSession(
            connector=UnixConnector(path=str(socket), limit=16),
            # The name is for the eye alone: the socket leads to one place.
            base_url="http://control",
            timeout=ClientTimeout(total=CALL_SECONDS),
            auto_decompress=False,
        )

    async def __aenter__(self) -> "Control":
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._session.close()

    async def snapshot(self, after: int, wait: float) -> Snapshot | None:
        """The newest one if it is later than `after`, else None after `wait` seconds. Raises `ServerUnavailable`."""
        query = {"after": str(after), "wait": f"{wait:g}", "replica": str(self._replica)}
        timeout = ClientTimeout(total=wait + SPARE_SECONDS)
        try:
            async with self._session.get("/snapshot", params=query, timeout=timeout) as answer:
                if answer.status == HTTPStatus.NO_CONTENT:
                    return None
                if answer.status != HTTPStatus.OK:
                    raise ServerUnavailable(f"the server answered {answer.status} to a request for its snapshot")
                body = await answer.content.read(-1)
        except (ClientError, TimeoutError, OSError) as error:
            raise ServerUnavailable(str(error) or type(error).__name__) from None
        try:
            return msgspec.json.decode(body, type=Snapshot)
        except msgspec.MsgspecError as error:
            raise ServerUnavailable(f"the server's snapshot cannot be read: {error}") from None

    async def report(self, report: Report) -> None:
        """Raises `ServerUnavailable`: then send it again, the server knows rows that it has. Raises `ReportRefused`."""
        status = await self._post("/report", msgspec.json.encode(report), CALL_SECONDS, *REFUSALS)
        if status != HTTPStatus.NO_CONTENT:
            raise ReportRefused(f"status {status}")

    async def claim(self, nonce: Nonce) -> None:
        """Raises `AlreadySeen` and `ServerUnavailable`."""
        status = await self._post("/nonces", msgspec.json.encode(nonce), NONCE_SECONDS, HTTPStatus.CONFLICT)
        if status == HTTPStatus.CONFLICT:
            raise AlreadySeen(nonce.nonce)

    async def _post(self, path: str, body: bytes, seconds: float, *also: HTTPStatus) -> int:
        headers = {"Content-Type": "application/json"}
        timeout = ClientTimeout(total=seconds)
        try:
            async with self._session.post(path, data=body, headers=headers, timeout=timeout) as answer:
                await answer.content.read(-1)
                if answer.status not in (HTTPStatus.NO_CONTENT, *also):
                    raise ServerUnavailable(f"the server answered {answer.status} to {path}")
                return answer.status
        except (ClientError, TimeoutError, OSError) as error:
            raise ServerUnavailable(str(error) or type(error).__name__) from None


async def follow(control: Control, snapshots: NewestSnapshot) -> None:
    """Keep `snapshots` up to date, for ever. After a failure, and once in the life of a snapshot, it begins with the
    whole: a server whose database was restored counts its generations from an earlier one."""
    pause, after, is_told = LEAST_PAUSE, 0, False
    # Confirmed several times within its life, so that one answer that is late does not end it.
    wait = min(POLL_SECONDS, snapshots.life / 4)
    whole_at = time.monotonic()
    while True:
        if time.monotonic() - whole_at >= snapshots.life:
            after = 0
        if after == 0:
            whole_at = time.monotonic()
        try:
            after = await _poll(control, snapshots, after, wait)
            if is_told:
                log.info("the server is back", generation=snapshots.generation)
            pause, is_told = LEAST_PAUSE, False
        except (ServerUnavailable, ValueError) as error:
            if not is_told:
                log.warning("no snapshot from the server", error=str(error))
            after, is_told = 0, True
            await asyncio.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE)


async def _poll(control: Control, snapshots: NewestSnapshot, after: int, wait: float) -> int:
    """Ask once, and return after which generation to ask next."""
    asked_at = time.monotonic()
    snapshot = await control.snapshot(after, wait)
    if snapshot is not None:
        snapshots.take(snapshot)
        return snapshot.generation
    if time.monotonic() - asked_at < wait * EARLY:
        # It sends us away because it ends.
        await asyncio.sleep(LEAST_PAUSE)
        return 0
    if after:
        snapshots.confirm()
    return after
