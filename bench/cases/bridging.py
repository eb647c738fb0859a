"""Two organisations with a bridge: how soon ends what is taken back, packets and calls, and what a grant costs."""

import http.client
import json
import socket
import ssl
import time
from collections.abc import AsyncIterator, Callable
from functools import partial
from typing import Any

from bench.measure import Goal, Row, Size
from bench.organisations import unlimited
from isthmus.protocol.federation import API_VERSION, ORIGIN
from lab import Lab
from lab.alliance import BEACON, WITHIN, Alliance, assemble
from lab.organisation import PORT
from lab.probes import Probe, Probes
from lab.waiting import wait_until

START_SECONDS = 60.0
HERE_MS, THERE_MS, CALL_MS, OVER_MS = 1_000.0, 2_000.0, 250.0, 15.0
LEAF = "/var/lib/isthmus-agent/instance/current"
GOOD = 200
CALL_SECONDS = 5.0


async def measured(size: Size) -> AsyncIterator[Row]:
    started = time.monotonic()
    with Lab() as lab, Probes() as probes:
        alliance = assemble(lab)
        try:
            wiki, app = alliance.wiki, alliance.app
            probes.echo(wiki.host, wiki.ipv6, BEACON)
            probes.tap(alliance.a.gateway)
            stream = probes.send(Probe("beacon", app.host, wiki.ipv6, BEACON))
            alliance.join()
            unlimited(alliance.a.site, alliance.b.site)
            with alliance.granted(resource="beacon"):
                stream.passes(within=WITHIN)
                yield Row(
                    "fresh start of both → first allowed packet", "s", time.monotonic() - started, goal=Goal(60.0)
                )
                for row in _taken_back(alliance, stream, size.pick(1, 30)):
                    yield row
            for row in _called(alliance, size):
                yield row
        finally:
            alliance.close()


def _taken_back(alliance: Alliance, stream: Probe, rounds: int) -> list[Row]:
    """From the answer to whoever took it back to the last datagram, into A and out of B."""
    rows = []
    for what, end, again in (
        ("the bridge is suspended by A", _acting(alliance, "a", "suspend"), _acting(alliance, "a", "resume")),
        ("the bridge is suspended by B", _acting(alliance, "b", "suspend"), _acting(alliance, "b", "resume")),
        ("a grant is narrowed to another instance", _narrowing(alliance, "other"), _narrowing(alliance, "app")),
    ):
        here, there = [], []
        for _ in range(rounds):
            stream.passes(within=WITHIN)
            since = time.monotonic()
            end()
            here.append(stream.stops(since, within=WITHIN) * 1e3)
            there.append(stream.stops_to_be_carried(since, within=WITHIN) * 1e3)
            again()
        rows.append(Row.of(f"{what} → last packet into A", "ms", here, goal=Goal(HERE_MS, of_p99=True)))
        rows.append(Row.of(f"{what} → last packet out of B", "ms", there, goal=Goal(THERE_MS, of_p99=True)))
    return rows


def _acting(alliance: Alliance, name: str, action: str) -> Callable[[], Any]:
    side = {each.name: each for each in alliance.sides}[name]
    return partial(alliance.act, side, action)


def _narrowing(alliance: Alliance, name: str) -> Callable[[], Any]:
    """List this instance alone in the one grant that is live."""
    api = alliance.a.api

    def narrow() -> None:
        grants = api.get("/grants").raise_for_status().json()["items"]
        (path,) = [f"/grants/{each['id']}" for each in grants if each["state"] == "live"]
        present = api.get(path).raise_for_status().headers["ETag"]
        change = {"instances": [alliance.instances[name]]}
        api.patch(path, json=change, headers={"If-Match": present}).raise_for_status()

    return narrow


def _called(alliance: Alliance, size: Size) -> list[Row]:
    """Calls of the instance over the bridge: one after the other, and until a revocation is felt."""
    denied = []
    with alliance.granted() as (_, token):
        caller = Caller(alliance, token)
        times = [caller.timed() for _ in range(size.pick(20, 1_000))]
        caller.close()
    for _ in range(size.pick(1, 30)):
        with alliance.granted() as (grant, token):
            caller = Caller(alliance, token)
            caller.timed()
            since = time.monotonic()
            alliance.revoke(grant)
            wait_until(caller.is_refused, within=WITHIN, what="a refusal")
            denied.append((time.monotonic() - since) * 1e3)
            caller.close()
    return [
        Row.of("granted call over the bridge, warm", "ms", times, goal=Goal(OVER_MS, of_p99=True)),
        Row.of("a grant is revoked → its calls are refused", "ms", denied, goal=Goal(CALL_MS, of_p99=True)),
    ]


class Caller:
    """The instance of B, on one connection to the ingress of A inside the network."""

    def __init__(self, alliance: Alliance, token: str) -> None:
        pair = alliance.app.host.path(LEAF)
        context = ssl.create_default_context(cafile=str(alliance.a.site.places.authority / "ca.pem"))
        context.load_cert_chain(pair / "chain.pem", pair / "key.pem")
        raw = alliance.app.host.connect(alliance.a.home.ipv6, PORT)
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._http = http.client.HTTPConnection(alliance.a.site.infra, PORT, timeout=CALL_SECONDS)
        self._http.sock = context.wrap_socket(raw, server_hostname=alliance.a.site.infra)
        self._body = json.dumps({"kind": "service", "id": alliance.service("wiki")["id"]})
        self._headers = {ORIGIN: alliance.b.domain, API_VERSION: "0", "Content-Type": "application/json"}
        self._headers |= {"Authorization": f"Bearer {token}"}

    def call(self) -> int:
        self._http.request("POST", "/federation/resources/get", self._body, self._headers)
        answer = self._http.getresponse()
        answer.read()
        return answer.status

    def is_refused(self) -> bool:
        return self.call() != GOOD

    def timed(self) -> float:
        """Milliseconds of a call that is let through."""
        started = time.perf_counter()
        status = self.call()
        if status != GOOD:
            raise AssertionError(f"a call was answered {status}")
        return (time.perf_counter() - started) * 1e3

    def close(self) -> None:
        self._http.close()
