"""Weaknesses on purpose, one at a time, to see that the tests notice them. No part of the product knows of this file.

Python imports it at the start of each process that has this folder on its PYTHONPATH, as those of the lab have. It does
nothing unless the host's /run/isthmus-sabotage names a weakness, so a process gets one when it is started again.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

NAMED = Path("/run/isthmus-sabotage")


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


PLANTS: dict[str, Callable[[], None]] = {
    "no-chain-check": no_chain_check,
    "no-pin-check": no_pin_check,
    "decoded-paths": decoded_paths,
    "three-versions": three_versions,
    "no-client-certificate": no_client_certificate,
}

if NAMED.exists():
    for name in NAMED.read_text().split():
        PLANTS[name]()
