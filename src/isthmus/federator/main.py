"""Starting and stopping the Federator: settings, certificate, sockets, and each failure in one sentence."""

import asyncio
import contextlib
import gc
import os
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator, Coroutine, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import structlog
import uvloop

from isthmus import logs, tracing
from isthmus.federator import outward as outward_side
from isthmus.federator import traefik
from isthmus.federator.adapters import refusals
from isthmus.federator.adapters.inward_socket import InwardSocket
from isthmus.federator.adapters.listening import (
    BACKLOG,
    CannotListen,
    SocketServer,
    bind,
    inode_of,
    prepare_folder,
    unlinked,
)
from isthmus.federator.adapters.local import Control, follow
from isthmus.federator.adapters.outward_socket import OutwardSocket
from isthmus.federator.health import Check, Readiness, ResolverCheck
from isthmus.federator.pairs import NewestPair
from isthmus.federator.parts import Parts
from isthmus.federator.rows import QueuedRows
from isthmus.federator.settings import Settings, SettingsRefused, load, user_id
from isthmus.federator.snapshots import NewestSnapshot
from isthmus.protocol.federator import ALARM_REPEATED
from isthmus.protocol.steady import SteadyClock
from isthmus.tracing import TracingUnusable
from isthmus.x509.pair import PairUnusable

log = structlog.get_logger()

FIRST_SECONDS = 1.0
"""For so long a start waits for the server's first snapshot."""


@dataclass(frozen=True, slots=True)
class Bound:
    """The sockets, made before anything else happens."""

    inward: socket.socket
    outward: socket.socket
    refusals: socket.socket


def run(config: Path | None = None, given: Mapping[str, Any] | None = None) -> int:
    """Run until SIGINT or SIGTERM. Returns the exit code; what stops a start is one sentence on standard error."""
    clock = SteadyClock()
    try:
        settings = load(config, given or {}, os.environ)
        logs.configure(settings.log_level)
        # Before any socket: without a certificate nobody shall find this backend listening.
        pairs = NewestPair(settings.pair, settings.infra_domain, clock)
        # What was imported stays: no collection has to walk over it again.
        gc.freeze()
        with tracing.sending("federator"):
            uvloop.run(_run(settings, pairs, clock))
    except (SettingsRefused, PairUnusable, CannotListen, TracingUnusable) as reason:
        sys.stderr.write(f"isthmus federator: {reason}{remedy_of(reason)}\n")
        return 1
    return 0


def remedy_of(reason: Exception) -> str:
    """What to do about a certificate; the other reasons say it themselves."""
    if not isinstance(reason, PairUnusable):
        return ""
    if reason.fault in ("certificate_missing", "key_missing"):
        return ". Make one with isthmus federation init, or set certificate and key"
    return ". Renew it with isthmus certificate renew, or set certificate and key to a pair that is good"


async def _run(settings: Settings, pairs: NewestPair, clock: SteadyClock) -> None:
    stop = stop_event()
    snapshots = NewestSnapshot(settings.snapshot_seconds)
    with binding(settings) as bound:
        async with Control(settings.places.control, settings.replica) as control:
            rows = QueuedRows(control.report, clock)
            readiness = Readiness(snapshots, pairs, clock)
            translate = traefik.translated if settings.ingress == "traefik" else list
            parts = Parts(
                clock, snapshots, pairs, rows, control, readiness, proxies=settings.proxies, translate=translate
            )
            parts.readiness.checks |= _listener_checks(settings)
            async with working(follow(control, snapshots), pairs.watch(), rows.work(), watch_alarms(parts)):
                await serve(parts, settings, bound, stop)
            await rows.finish()
    log.info("stopped")


async def serve(parts: Parts, settings: Settings, bound: Bound, stop: asyncio.Event) -> None:
    """Answer on both sockets until `stop`, then let running calls end."""
    carrying = outward_side.build(parts, settings)
    parts.readiness.checks["resolver"] = ResolverCheck(carrying.discovery)
    async with contextlib.aclosing(carrying), InwardSocket(parts, settings, carrying.discovery) as inward:
        outward = OutwardSocket(parts, user_id(settings.component_user, "component_user"), carrying.side)
        ingress = user_id(settings.ingress_user, "ingress_user")
        async with contextlib.AsyncExitStack() as stack:
            await stack.enter_async_context(serving(outward.server(), bound.outward, settings))
            stack.enter_context(refusals.listening(bound.refusals, ingress, parts.rows))
            # Whoever listens already is asked in its place, while there is nothing to decide by.
            await parts.snapshots.first(FIRST_SECONDS)
            await stack.enter_async_context(serving(inward.server(), bound.inward, settings))
            log.info("the Federator runs", folder=str(settings.places.run), pid=os.getpid())
            await stop.wait()


@contextlib.contextmanager
def binding(settings: Settings) -> Iterator[Bound]:
    places = settings.places
    prepare_folder(places.run)
    ingress, component = (
        user_id(settings.ingress_user, "ingress_user"),
        user_id(settings.component_user, "component_user"),
    )
    with contextlib.ExitStack() as stack:
        made = []
        for path, user, kind in (
            (places.inward, ingress, socket.SOCK_STREAM),
            (places.outward, component, socket.SOCK_STREAM),
            (places.refusals, ingress, socket.SOCK_DGRAM),
        ):
            sock = bind(path, user, kind)
            stack.enter_context(unlinked(path, sock))
            made.append(sock)
        yield Bound(*made)


@contextlib.asynccontextmanager
async def serving(server: SocketServer, sock: socket.socket, settings: Settings) -> AsyncIterator[None]:
    listener = await asyncio.get_running_loop().create_unix_server(server, sock=sock, backlog=BACKLOG)
    try:
        yield
    finally:
        listener.close()
        server.pre_shutdown()
        await server.shutdown(settings.drain_seconds)


@contextlib.asynccontextmanager
async def working(*chores: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Run `chores` beside the body. One that ends by a defect ends the process: half a Federator admits nobody well."""
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(chore) for chore in chores]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()


def _listener_checks(settings: Settings) -> dict[str, Check]:
    """That the sockets which were bound are still what callers find."""
    places = settings.places
    found = {"inward listener": places.inward, "outward listener": places.outward, "refusals listener": places.refusals}

    async def look(path: Path, inode: int) -> str:
        return "" if inode_of(path) == inode else f"the socket {path} is gone: start the Federator again"

    return {name: partial(look, path, inode_of(path)) for name, path in found.items()}


async def watch_alarms(parts: Parts) -> None:
    """Tell every alarm when it begins, and its finding again as long as it goes on."""
    told: dict[str, str] = {}
    again_at = 0.0
    while True:
        alarms, view, now = parts.readiness.alarms(), parts.snapshots.current, time.monotonic()
        is_time, again_at = now >= again_at, again_at if now < again_at else now + ALARM_REPEATED
        for kind, alarm in alarms.items():
            is_new = told.get(kind) != alarm and view is not None
            if is_new:
                log.error("alarm", kind=kind, what=alarm)
            if view is not None and (is_new or is_time):
                parts.rows.suspect(kind, view.domain, {"what": alarm})
        told = alarms if view is not None else {}
        await asyncio.sleep(1.0)


def stop_event() -> asyncio.Event:
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    return stop
