"""Whole backends that federate, in namespaces of this machine, asked over real sockets."""

import asyncio
import contextlib
import json
import ssl
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from itertools import combinations
from typing import Any, Protocol
from uuid import uuid4

import aiohttp

from bench.procfs import parent_of, running_seconds
from isthmus.protocol.federation import API_VERSION, API_VERSIONS, ORIGIN, REQUEST_ID
from lab import Lab
from lab.organisation import PORT, Organisation, children, command_of, federate
from lab.scripted_names import ScriptedNames

CALL_SECONDS = 20.0
BODY = json.dumps({"handle": "alice"}).encode()
ALICE = {"handle": "alice", "display_name": "Alice", "visibility": "handle"}


@contextlib.contextmanager
def organisations(*names: str, settings: Mapping[str, Mapping[str, str]] | None = None) -> Iterator[list[Organisation]]:
    """Backends that each list and pin each other, every one with the user alice; `settings` by name."""
    with Lab() as lab:
        dns = ScriptedNames(lab)
        sites = [Organisation(dns, name, settings=(settings or {}).get(name)) for name in names]
        for site in sites:
            site.await_server()
            site.init()
            site.api.post("/users", json=ALICE).raise_for_status()
        for one, two in combinations(sites, 2):
            federate(one, two)
        try:
            yield sites
        finally:
            for site in sites:
                site.api.close()


def unlimited(site: Organisation, caller: Organisation, *, a_second: float = 100_000.0) -> None:
    """Let `caller` make so many requests a second at `site`: the quota is not what is measured."""
    limits = {
        "requests": a_second,
        "requests_burst": int(a_second),
        "mutations": a_second,
        "mutations_burst": int(a_second),
        "parallel": 1_000,
    }
    site.api.patch(f"/remotes/{caller.domain}", json={"limits": limits}).raise_for_status()


class Component:
    """Calls remotes as a component of `site` does: by the outward socket of its Federator."""

    def __init__(self, site: Organisation) -> None:
        # The connector opens sockets by path; what the host calls /var/lib is found elsewhere from here.
        connector = aiohttp.UnixConnector(str(site.places.outward), limit=256)
        timeout = aiohttp.ClientTimeout(total=CALL_SECONDS)
        self._http = aiohttp.ClientSession("http://federator", connector=connector, timeout=timeout)

    async def __aenter__(self) -> "Component":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._http.close()

    async def call(self, domain: str) -> int:
        """Ask `domain` for alice; returns the status."""
        headers = {"Content-Type": "application/json", REQUEST_ID: str(uuid4())}
        path = f"/rpc/{domain}/directory/get-user-by-handle"
        async with self._http.post(path, data=BODY, headers=headers) as answer:
            await answer.read()
            return answer.status

    async def timed(self, domain: str) -> tuple[float, int]:
        """One call: milliseconds, and the status."""
        started = time.perf_counter()
        status = await self.call(domain)
        return (time.perf_counter() - started) * 1e3, status


class Outsider:
    """Calls the ingress of `other` with the leaf of `site`, past its Federator, which would wait after a refusal."""

    def __init__(self, site: Organisation, other: Organisation) -> None:
        pair = site.places.federator_pair
        context = ssl.create_default_context(cafile=str(other.places.authority / "ca.pem"))
        context.load_cert_chain(pair / "chain.pem", pair / "key.pem")
        self._site, self._other, self._context = site, other, context
        self._free: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []
        self.told_to_wait = 0
        """Answers so far that are 429 `rate_limited` with a Retry-After."""
        lines = [
            "POST /federation/directory/get-user-by-handle HTTP/1.1",
            f"Host: {other.infra}",
            f"{ORIGIN}: {site.domain}",
            f"{API_VERSION}: {API_VERSIONS[-1]}",
            "Content-Type: application/json",
            f"Content-Length: {len(BODY)}",
        ]
        self._request = "\r\n".join([*lines, "", ""]).encode() + BODY

    async def __aenter__(self) -> "Outsider":
        return self

    async def __aexit__(self, *_: object) -> None:
        for _reader, writer in self._free:
            writer.close()

    async def call(self, domain: str) -> int:
        """Ask `domain` for alice; returns the status."""
        reader, writer = self._free.pop() if self._free else await self._connected()
        writer.write(self._request)
        head = await reader.readuntil(b"\r\n\r\n")
        status, *lines = head.decode("latin-1").split("\r\n")
        headers = dict(line.lower().split(": ", 1) for line in lines if line)
        body = await reader.readexactly(int(headers.get("content-length", "0")))
        is_limited = int(status.split()[1]) == HTTPStatus.TOO_MANY_REQUESTS and b'"rate_limited"' in body
        self.told_to_wait += is_limited and int(headers.get("retry-after", "0")) > 0
        if headers.get("connection") == "close":
            writer.close()
        else:
            self._free.append((reader, writer))
        return int(status.split()[1])

    async def _connected(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        raw = self._site.host.connect(self._other.host.ipv4, PORT)
        raw.setblocking(False)
        return await asyncio.open_connection(sock=raw, ssl=self._context, server_hostname=self._other.infra)


class Calls(Protocol):
    async def call(self, domain: str) -> int:
        """Ask `domain` for alice; returns the status."""


@dataclass(slots=True)
class Load:
    """What calls at a fixed rate took, in milliseconds from the moment at which each was due; other answers than 200 by
    status."""

    times: list[float] = field(default_factory=list)
    others: dict[int, int] = field(default_factory=dict)

    def take(self, milliseconds: float, status: int) -> None:
        if status == HTTPStatus.OK:
            self.times.append(milliseconds)
        else:
            self.others[status] = self.others.get(status, 0) + 1


async def at_rate(component: Calls, domain: str, rate: float, seconds: float) -> Load:
    """Begin a call every 1/`rate` seconds, whether or not those before have ended."""
    load, began, running = Load(), time.perf_counter(), set()

    async def one(due: float) -> None:
        status = await component.call(domain)
        load.take((time.perf_counter() - due) * 1e3, status)

    for number in range(int(rate * seconds)):
        due = began + number / rate
        if (pause := due - time.perf_counter()) > 0:
            await asyncio.sleep(pause)
        task = asyncio.create_task(one(due))
        running.add(task)
        task.add_done_callback(running.discard)
    await asyncio.gather(*running)
    return load


def processes(site: Organisation) -> dict[str, list[int]]:
    """The process ids of one backend by what they are; nginx with its workers, and the supervisor."""
    ingress = site.pid("ingress")
    masters = [pid for pid in children(ingress) if "nginx" in " ".join(command_of(pid))]
    nginx = [*masters, *(worker for master in masters for worker in children(master))]
    named = {name: [pid] for name in ("server", "federator") if (pid := site.pid(name)) is not None}
    # The supervisor passes on what the others log.
    return named | {"nginx": nginx, "up": [parent_of(pid) for pid in named.get("server", [])]}


def spent(sites: Sequence[Organisation]) -> dict[tuple[str, str], float]:
    """CPU seconds so far, by backend and process."""
    return {
        (site.name, name): sum(map(running_seconds, pids)) for site in sites for name, pids in processes(site).items()
    }


def accepted(site: Organisation) -> int:
    """Connections to the ingress's port that the kernel of the host has seen established, as a counter of nftables."""
    found: Any = json.loads(site.host.run(["nft", "-j", "list", "counter", "inet", "bench", "opened"]).stdout)
    return int(next(each["counter"]["packets"] for each in found["nftables"] if "counter" in each))


def count_connections(site: Organisation) -> None:
    """Count each connection that is opened to the ingress of `site`, by its first packet."""
    rules = f"""
        table inet bench {{
            counter opened {{ }}
            chain bench-input {{
                type filter hook input priority 0;
                tcp dport {PORT} tcp flags & (syn | ack) == syn counter name opened
            }}
        }}"""
    site.host.run(["nft", "-f", "-"], input=rules)
