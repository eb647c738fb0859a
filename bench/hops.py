"""One and the same call, begun at each hop of its way: what each of them adds."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from hashlib import sha256
from typing import Any
from urllib.parse import quote
from uuid import uuid4

from bench.organisations import BODY, Component, Outsider
from isthmus.domain.federation.certificate import identity_of
from isthmus.federator.adapters.components import ComponentSockets, Connections
from isthmus.protocol import ingress
from isthmus.protocol.context import LIFE, Context
from isthmus.protocol.federation import API_VERSION, API_VERSIONS, ORIGIN
from isthmus.protocol.steady import since_start
from isthmus.x509.pair import CHAIN, KEY, Pair, load_pair
from lab.organisation import Organisation

PATH = "/federation/directory/get-user-by-handle"
GOOD = 200

Call = Callable[[], Awaitable[int]]
"""Makes the call; returns the status."""


@contextlib.asynccontextmanager
async def hops(a: Organisation, b: Organisation) -> AsyncIterator[dict[str, Call]]:
    """The call of A's component at B, by where it is begun, the shortest way first."""
    async with Component(a) as component, Outsider(a, b) as outsider, ComponentSockets(b.places) as own:
        inward = Connections(str(b.places.inward))

        async def at_component() -> int:
            return (await own.call(_context(facts), {}, BODY)).status

        async def at_federator() -> int:
            return (await inward.post(PATH, headers | {ingress.INGRESS_REQUEST_ID: str(uuid4())}, BODY)).status

        facts, headers = await asyncio.to_thread(_facts, a, b), await asyncio.to_thread(_headers, a, b)
        try:
            yield {
                "the component": at_component,
                "the Federator there": at_federator,
                "the ingress there": lambda: outsider.call(b.domain),
                "the Federator here": lambda: component.call(b.domain),
            }
        finally:
            inward.close()


async def timed(calls: dict[str, Call], rounds: int) -> dict[str, list[float]]:
    """Milliseconds of each call, one after the other in every round: what disturbs the machine disturbs them all."""
    times: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(rounds):
        for name, call in calls.items():
            started = time.perf_counter()
            if (status := await call()) != GOOD:
                raise AssertionError(f"a call that began at {name} was answered {status}")
            times[name].append((time.perf_counter() - started) * 1e3)
    return times


def _facts(a: Organisation, b: Organisation) -> dict[str, Any]:
    """What B's Federator has proven of A's, as the component's context holds it."""
    leaf = _pair(a).leaf
    return {
        "generation": (b.remote(a) or {})["generation"],
        "instance": str(identity_of(leaf).instance),
        "leaf": leaf.fingerprint.hex(),
        "remote": a.domain,
        "origin": a.domain,
        "infra_domain": a.infra,
        "source": str(a.host.ipv4),
    }


def _pair(site: Organisation) -> Pair:
    # By its files: from here the symlinks of a host lead elsewhere.
    return load_pair(site.places.federator_pair / CHAIN, site.places.federator_pair / KEY)


def _context(facts: dict[str, Any]) -> Context:
    now = since_start()
    return Context(
        aud="directory",
        method="POST",
        path="/federation/get-user-by-handle",
        body=sha256(BODY).hexdigest(),
        network=ingress.WAN,
        assurance="tcp",
        listener=ingress.WAN,
        request_id=str(uuid4()),
        api_version=API_VERSIONS[-1],
        bundle_sequence=1,
        snapshot=1,
        iat=now,
        exp=now + LIFE,
        jti=uuid4().hex,
        state="active",
        **facts,
    )


def _headers(a: Organisation, b: Organisation) -> dict[str, str]:
    """What B's ingress tells its Federator of a call of A."""
    listener = b.api.get("/federation").raise_for_status().json()["listeners"][0]["id"]
    pem = _pair(a).chain.decode()
    leaf = pem[: pem.index("-----END CERTIFICATE-----")] + "-----END CERTIFICATE-----\n"
    return {
        ingress.LEAF: quote(leaf),
        ingress.LISTENER: listener,
        ingress.SECRET: ingress.listener_secret(b.places.listener_key.read_bytes(), listener),
        ingress.NETWORK: ingress.WAN,
        ingress.SOURCE: str(a.host.ipv4),
        ORIGIN: a.domain,
        API_VERSION: str(API_VERSIONS[-1]),
        "Content-Type": "application/json",
    }
