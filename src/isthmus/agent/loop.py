"""The conversation with the server, for ever: a stream, plain HTTPS where that is blocked, pauses in between."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass

import structlog

from isthmus.agent.beats import Beats
from isthmus.agent.errors import Blocked, Unreachable
from isthmus.agent.pace import Pace, race
from isthmus.agent.ports import ControlPlane, Polling, Stream
from isthmus.agent.worker import Worker
from isthmus.protocol import agent as wire

log = structlog.get_logger()

# Streams that fail before their first message, after which plain HTTPS is tried. Where that works, and yet another
# stream fails right after it, streams are blocked; else the server was down for a while.
STREAM_TRIES = 3
# Refused heartbeats in a row that are repeated at once, each with the nonce that came with the refusal.
REPEATS = 2
REPLAYED = "replay_detected"


class Renewed(Exception):
    """A fresh session token was stored: the next stream is opened with it, at once."""


@dataclass
class Contact:
    """The latest contact with the server; `by` is stream or https, None while there is none. `incident` is the one
    that blocks this host."""

    by: str | None = None
    last: float | None = None
    error: str | None = None
    incident: str | None = None


class Agent:
    """Runs until it is cancelled, or until `SessionEnded` says that this host has no peer any more."""

    def __init__(
        self,
        server: ControlPlane,
        worker: Worker,
        pace: Pace,
        on_contact: Callable[[Contact], None],
        keep_token: Callable[[str], None],
    ) -> None:
        self.contact = Contact()
        self._keep_token = keep_token
        self._server = server
        self._worker = worker
        self._pace = pace
        self._beats = Beats(worker.applier, pace)
        self._on_contact = on_contact
        self._failures = 0
        self._streams_refused = 0
        self._streams_are_blocked = False

    async def run(self) -> None:
        await race(self._converse(), self._worker.run())

    async def _converse(self) -> None:
        while True:
            try:
                if self._streams_refused < STREAM_TRIES:
                    await self._stream()
                else:
                    await self._poll()
            except Blocked as blocked:
                pause = self._pace.while_blocked()
                # That answer came from the server: streams are not blocked on the way to it.
                self._streams_refused = 0
                self._lost(str(blocked), pause, blocked.incident)
                await asyncio.sleep(pause)
            except Unreachable as error:
                pause = self._pace.pause(self._failures)
                self._lost(str(error), pause)
                await asyncio.sleep(pause)
            except Renewed:
                log.info("session token renewed")
                self._streams_refused = 0

    async def _stream(self) -> None:
        self._streams_refused += 1
        self._worker.tell_again()
        async with self._server.stream(self._worker.applier.revision) as stream:
            heard = Heard(self._reached_by_stream, self._renew)
            await Conversation(stream, self._worker, self._beats, self._pace, heard).run()

    def _reached_by_stream(self) -> None:
        self._streams_refused = 0
        self._streams_are_blocked = False
        self._reached("stream")

    def _renew(self, session_token: str) -> None:
        # Stored before it is presented: to present it ends the other one.
        self._keep_token(session_token)
        self._server.use(session_token)

    async def _poll(self) -> None:
        """Plain HTTPS until a stream is worth another try."""
        self._streams_refused = STREAM_TRIES - 1
        until = time.monotonic() + (self._pace.https_only if self._streams_are_blocked else 0.0)
        self._streams_are_blocked = False
        self._beats.reports.forget()
        self._worker.tell_again()
        async with self._server.polling() as server:
            await race(self._ask(server, until), self._tell(server))
        self._streams_are_blocked = True

    async def _ask(self, server: Polling, until: float) -> None:
        while True:
            answer = await server.fetch(self._worker.applier.revision)
            self._worker.heard()
            if answer.config is not None:
                self._worker.take(answer.revision, answer.config)
            elif answer.delta is not None and not self._worker.take_delta(answer.delta):
                whole = await server.fetch(0)
                if whole.config is not None:
                    self._worker.take(whole.revision, whole.config)
            if answer.session_token:
                self._renew(answer.session_token)
            if answer.rotate:
                await server.rekey(wire.Rekey(str(self._worker.applier.keys.make_next())))
            await self._report(server, answer.nonce)
            self._reached("https")
            if time.monotonic() >= until:
                return
            await self._beats.due()

    async def _tell(self, server: Polling) -> None:
        while True:
            await server.tell(await self._worker.outcome())

    async def _report(self, server: Polling, nonce: str) -> None:
        for _ in range(1 + REPEATS):
            # Each of these calls may be the first that the server hears of this process.
            self._beats.reports.forget_host()
            answer = await server.report(await self._beats.heartbeat(nonce))
            self._worker.heard()
            match answer:
                case wire.Ack():
                    self._beats.reports.accepted()
                    return
                case wire.Refused(code, detail, fresh):
                    log.warning("heartbeat refused", code=code, detail=detail)
                    if fresh is None:
                        return
                    nonce = fresh

    def _reached(self, by: str) -> None:
        if self.contact.by != by:
            log.info("connected", by=by)
        self._failures = 0
        self.contact = Contact(by, time.time())
        self._on_contact(self.contact)

    def _lost(self, problem: str, pause: float, incident: str | None = None) -> None:
        self._failures += 1
        log.warning("no connection", error=problem, next_try_in=round(pause, 1))
        self.contact = Contact(None, self.contact.last, problem, incident)
        self._on_contact(self.contact)


@dataclass(frozen=True)
class Heard:
    """Who is called when a heartbeat counted, and with a fresh session token, which is to be stored."""

    on_ack: Callable[[], None]
    on_token: Callable[[str], None]


class Conversation:
    """One stream, from its hello to its end."""

    def __init__(self, stream: Stream, worker: Worker, beats: Beats, pace: Pace, heard: Heard) -> None:
        self._stream = stream
        self._worker = worker
        self._beats = beats
        self._pace = pace
        self._heard = heard
        self._nonce = ""
        self._has_nonce = asyncio.Event()
        self._at_once = True
        self._repeats = 0

    async def run(self) -> None:
        """Never returns; raises `Unreachable`, `SessionEnded` or `Renewed`."""
        self._beats.reports.forget()
        await race(self._listen(), self._beat(), self._tell())

    async def _listen(self) -> None:
        while True:
            message = await self._stream.receive()
            self._worker.heard()
            await self._handle(message)

    async def _handle(self, message: wire.FromServer) -> None:
        match message:
            case wire.Hello(nonce, _, heartbeat):
                self._beats.interval = max(1.0, heartbeat)
                self._fresh(nonce)
            case wire.Ack(nonce):
                self._repeats = 0
                self._beats.reports.accepted()
                self._heard.on_ack()
                self._fresh(nonce)
            case wire.Refused(code, detail, nonce):
                log.warning("message refused", code=code, detail=detail)
                if nonce is not None:
                    self._repeats += 1
                    self._at_once = code == REPLAYED and self._repeats <= REPEATS
                    self._fresh(nonce)
            case wire.Rotate():
                next_key = self._worker.applier.keys.make_next()
                await self._stream.send(wire.Rekey(str(next_key)))
            case wire.SessionToken(token):
                self._heard.on_token(token)
                raise Renewed
            case _:
                await self._follow(message)

    async def _follow(self, message: wire.Snapshot | wire.Delta | wire.Unchanged) -> None:
        match message:
            case wire.Snapshot(revision, config):
                self._worker.take(revision, config)
            case wire.Delta() as delta:
                if not self._worker.take_delta(delta):
                    await self._stream.send(wire.Resync())
            case wire.Unchanged(revision):
                if revision != self._worker.applier.revision:
                    await self._stream.send(wire.Resync())

    def _fresh(self, nonce: str) -> None:
        self._nonce = nonce
        self._has_nonce.set()

    async def _beat(self) -> None:
        while True:
            try:
                async with asyncio.timeout(self._pace.answer):
                    await self._has_nonce.wait()
            except TimeoutError:
                raise Unreachable(f"the server did not answer within {self._pace.answer:g} s") from None
            if not self._at_once:
                await self._beats.due()
            self._at_once = False
            self._has_nonce.clear()
            await self._stream.send(await self._beats.heartbeat(self._nonce))

    async def _tell(self) -> None:
        while True:
            await self._stream.send(await self._worker.outcome())
