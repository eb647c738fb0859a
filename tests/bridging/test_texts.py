"""Texts of people on both sides change nothing in what gateways make of a bridge: rules, tunnels, files."""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

from lab.alliance import WITHIN, Alliance
from lab.traces import allowed_ips, routes, rules
from lab.waiting import wait_until
from tests.foreign import HOSTILE

PLAIN = "plain"
TEXTS = (PLAIN, HOSTILE["nft"], HOSTILE["quotes"] + HOSTILE["a setting of wg-quick"], HOSTILE["shell"] + HOSTILE["SQL"])
# What differs from grant to grant: its id, the digest of a script that has it, and the sum of a set of addresses.
VARYING = re.compile(r"[0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12}|[0-9a-f]{16,}")
AGENT_FILES = ("/var/lib/isthmus-agent", "/etc/wireguard", "/etc/isthmus")


@pytest.fixture(autouse=True)
def bridge(alliance: Alliance) -> str:
    return alliance.join()


@pytest.fixture
def noted(alliance: Alliance) -> Iterator[Any]:
    """Says a text wherever somebody on either side may say one of this bridge, and takes it back in the end."""
    a, b = alliance.sides
    wiki = f"/services/{alliance.service('wiki')['id']}"
    peers = [f"/peers/{side.gateway.id}" for side in alliance.sides]

    def say(text: str) -> None:
        a.api.patch(wiki, json={"note": text}).raise_for_status()
        a.api.patch(f"/remotes/{b.domain}", json={"contact": text, "notes": text}).raise_for_status()
        b.api.patch(f"/remotes/{a.domain}", json={"contact": text, "notes": text}).raise_for_status()
        for side, peer in zip(alliance.sides, peers, strict=True):
            side.api.patch(peer, json={"owner": text, "labels": {"site": text}}).raise_for_status()
        alliance.act(a, "suspend", reason=text)
        wait_until(lambda: is_told(alliance, text), within=WITHIN, what="the reason to arrive")
        alliance.join()

    yield say
    say(PLAIN)


def is_told(alliance: Alliance, text: str) -> bool:
    """Whether B has heard why A lets nothing pass, in the very words."""
    return (alliance.bridge(alliance.b) or {}).get("reason_there") == text


def made_of(alliance: Alliance) -> list[Any]:
    """The rules, ways and tunnels of both gateways, but for what is another one with each grant."""
    found: list[Any] = []
    for side in alliance.sides:
        host = side.gateway.host
        found += [VARYING.sub("-", rules(host)), routes(host), allowed_ips(side.gateway)]
    return found


def has_flow(alliance: Alliance, grant: str) -> bool:
    named = grant.replace("-", "")
    return all(named in rules(side.gateway.host).replace("-", "") for side in alliance.sides)


def files_with(alliance: Alliance, text: str) -> list[str]:
    """The lines of an agent's files in which a part of `text` stands."""
    return [
        line
        for side in alliance.sides
        for folder in AGENT_FILES
        for line in side.gateway.host.run(["grep", "-rhaF", text, folder], check=False).stdout.splitlines()
    ]


@pytest.mark.case("PATH-009")
def test_gateways_make_the_same_of_a_bridge_whatever_is_said_of_it(alliance: Alliance, noted: Any) -> None:
    made = []
    for text in TEXTS:
        noted(text)
        with alliance.granted(note=text) as (grant, _):
            wait_until(lambda: has_flow(alliance, grant), within=WITHIN, what="the flow of the grant")
            for side in alliance.sides:
                side.site.mesh.settle(within=WITHIN)
            made.append(made_of(alliance))
            for word in ("owned", "PostUp", "DROP TABLE"):
                assert word not in json.dumps(made[-1], default=sorted)
                assert files_with(alliance, word) == []
            shown = alliance.a.api.get(f"/grants/{grant}").raise_for_status().json()
            assert shown["note"] == text
    assert all(each == made[0] for each in made[1:])
