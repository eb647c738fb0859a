"""Weaknesses on purpose, one at a time, to see that the tests notice them. No part of the product knows of this file.

Python imports it at the start of each process that has this folder on its PYTHONPATH, as those of the lab have. But for
the pace of heartbeats it does nothing unless the host's /run/isthmus-sabotage names a weakness, so a process gets one
when it is started again.
"""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

NAMED = Path("/run/isthmus-sabotage")


def rare_heartbeats() -> None:
    """No weakness: tests count questions and connections, and a heartbeat each minute would be among them."""
    import isthmus.server.federation as federation

    federation.PULSE_SECONDS = 86_400.0


def no_chain_check() -> None:
    """Whoever issued a leaf, it counts as issued by the origin's own authority."""
    import isthmus.federator.leaves as leaves

    leaves._verdict = lambda der, authorities, now: ""


def no_pin_check() -> None:
    """What DNS says of a remote counts, whatever the handshake pinned."""
    import isthmus.domain.federation.admission as admission

    def believes_dns(known: Any, found: Any, leaf: Any) -> Any:
        return next(name for name in leaf.dns_names if name in found)

    admission.check_infra_domain = believes_dns


def decoded_paths() -> None:
    """Paths are decoded before they are matched."""
    from urllib.parse import unquote_to_bytes

    import isthmus.federator.grammar as grammar

    strict = grammar.route_of
    grammar.route_of = lambda method, target: strict(method, unquote_to_bytes(target))


def three_versions() -> None:
    """No weakness: our components speak two more versions of the federated API."""
    import isthmus.federator.outbound as outbound

    outbound.versions_of = lambda rpc, view: [0, 1, 2]


def no_client_certificate() -> None:
    """Connections to remotes show no certificate of ours."""
    import isthmus.federator.adapters.mtls as mtls

    mtls._load_pair = lambda context, chain, key: None


def clock_ahead() -> None:
    """The machine's clock is two minutes ahead of all others."""
    import time

    right = time.time
    time.time = lambda: right() + 120.0


def unsealed_components() -> None:
    """A component believes plain headers; a server has this one."""
    import time
    from hashlib import sha256
    from typing import get_type_hints
    from uuid import uuid4

    import isthmus.server.adapters.components.plane as plane
    from isthmus.protocol.context import Context
    from isthmus.server.adapters.components import requests

    async def believes(self: Any, request: Any, receive: Any) -> Context:
        request.body = await requests.body_of(receive)
        origin, now = request.headers.get("isthmus-origin-domain", ""), time.time()
        said = {
            "aud": "directory", "method": request.method, "path": request.path, "remote": origin, "origin": origin,
            "body": sha256(request.body).hexdigest(), "instance": request.headers.get("x-calling-instance", ""),
            "network": "wan", "assurance": "tcp", "request_id": str(uuid4()), "jti": uuid4().hex,
            "generation": 1, "iat": now, "exp": now + 10, "state": "active",
        }  # fmt: skip
        empty = {name: kind() for name, kind in get_type_hints(Context).items() if kind in (str, int, float)}
        return Context(**(empty | said))

    plane.ComponentApp._proven = believes  # type: ignore[method-assign]


def later_call() -> None:
    """No weakness: a call that only a later version of the API has, for `directory/get-later`."""
    from isthmus.protocol.federation import RPCS, Rpc
    from isthmus.protocol.heartbeat import GetVersions, Versions

    RPCS["directory", "get-later"] = Rpc(GetVersions, Versions, "later", versions=(1,))  # type: ignore[index]


def clock_of_discovery() -> None:
    """No weakness: what DNS said is as old as /run/isthmus-older says, in seconds."""
    import time

    import isthmus.federator.discovery as discovery

    older = Path("/run/isthmus-older")
    plain = discovery.Discovery.__init__
    discovery.Discovery.__init__ = lambda self, resolver, clock=None: plain(  # type: ignore[method-assign]
        self, resolver, lambda: time.monotonic() + (float(older.read_text()) if older.exists() else 0.0)
    )


PLANTS: dict[str, Callable[[], None]] = {
    "no-chain-check": no_chain_check,
    "no-pin-check": no_pin_check,
    "decoded-paths": decoded_paths,
    "three-versions": three_versions,
    "no-client-certificate": no_client_certificate,
    "clock-ahead": clock_ahead,
    "clock-of-discovery": clock_of_discovery,
    "later-call": later_call,
    "unsealed-components": unsealed_components,
}

if "server" in sys.orig_argv:
    rare_heartbeats()
if NAMED.exists():
    for name in NAMED.read_text().split():
        PLANTS[name]()
