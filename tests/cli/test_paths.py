"""`isthmus peer paths`, and what `isthmus network` says of direct paths and the primary jump peer."""

import time
from datetime import UTC, datetime
from typing import Any

import pytest

from isthmus.cli import path_text
from tests.cli.conftest import Run, Script
from tests.cli.samples import NETWORK_ID, PEER_ID, a_network, a_peer, page

NOW = datetime(2026, 11, 23, 20, 10, tzinfo=UTC)
OTHER_ID = "01890000-0000-7000-8000-000000000009"
PATHS = f"GET /api/v1/peers/{PEER_ID}/paths?limit=500"
ONE = f"/api/v1/networks/{NETWORK_ID}"


def a_path(name: str = "desk", **changes: Any) -> dict[str, Any]:
    return {
        "other": {"id": OTHER_ID, "name": name},
        "direct": True,
        "via": None,
        "since": "2026-11-23T20:05:00Z",
        "round_trip_us": 1_250,
        "rx": 2048,
        "tx": 100,
        "latest_handshake": "2026-11-23T20:09:48Z",
    } | changes


NOTHING = {"since": None, "round_trip_us": None, "rx": None, "tx": None, "latest_handshake": None}


@pytest.fixture
def laptop(server: Script) -> Script:
    server.on("GET /api/v1/peers?name=laptop&limit=500", page(a_peer()))
    return server


def test_each_line_says_which_way_since_when_how_fast_and_how_much() -> None:
    found = [
        a_path(),
        a_path("phone", direct=False, via="gw", **NOTHING),
        a_path("tablet", direct=None, **NOTHING),
        a_path("far", round_trip_us=182_400, via=None),
    ]
    titles, *lines = path_text.overview(found, NOW, 80).splitlines()
    assert titles.split() == ["PEER", "WAY", "SINCE", "ROUND", "TRIP", "RECEIVED", "SENT", "HANDSHAKE"]
    assert lines[0].split() == ["desk", "direct", "5m", "ago", "1.2", "ms", "2.0", "KiB", "100", "B", "12s", "ago"]
    assert lines[1].split() == ["phone", "via", "gw", "-", "-", "-", "-", "-"]
    assert lines[2].split() == ["tablet", "unknown", "-", "-", "-", "-", "-"]
    assert "182 ms" in lines[3]
    assert max(map(len, lines)) <= 80


def test_paths_are_those_of_the_peer_that_was_named(isthmus: Run, laptop: Script) -> None:
    laptop.on(PATHS, page(a_path(), then="abc"))
    laptop.on(PATHS + "&after=abc", page(a_path("phone")))
    shown = isthmus("peer", "paths", "laptop", "--json")
    assert [each["other"]["name"] for each in shown.json["items"]] == ["desk", "phone"]
    assert shown.json["items"][0] == a_path()
    assert len(isthmus("peer", "paths", "laptop").out.splitlines()) == 3


def test_a_peer_that_reaches_nobody_is_said_to(isthmus: Run, laptop: Script) -> None:
    laptop.on(PATHS, page())
    assert "reaches no other peer" in isthmus("peer", "paths", "laptop").out


def test_watch_asks_again_until_interrupted(isthmus: Run, laptop: Script, monkeypatch: pytest.MonkeyPatch) -> None:
    pauses = []

    def pause(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(time, "sleep", pause)
    laptop.on(PATHS, page(a_path()))
    shown = isthmus("peer", "paths", "laptop", "--watch", "--json")
    assert (shown.code, len(shown.out.splitlines())) == (130, 2)


@pytest.mark.parametrize(
    ("setting", "has", "expected"),
    [("auto", True, "auto, on now"), ("auto", False, "auto, off now"), ("on", True, "on")],
)
def test_a_network_shows_its_direct_paths_and_its_primary(
    setting: str, has: bool, expected: str, isthmus: Run, server: Script
) -> None:
    server.on(f"GET {ONE}", a_network(direct_paths=setting, has_direct_paths=has))
    lines = [line.split(maxsplit=1) for line in isthmus("network", "show", NETWORK_ID).out.splitlines()]
    assert ["direct_paths", expected] in lines
    assert ["primary", "gw"] in lines


@pytest.mark.parametrize(
    ("options", "sent"),
    [
        (("--direct-paths", "off"), {"direct_paths": "off"}),
        (("--primary", "gw"), {"primary_id": PEER_ID}),
        (("--primary", "auto"), {"primary_id": None}),
    ],
)
def test_an_update_sends_what_was_given(
    options: tuple[str, ...], sent: dict[str, Any], isthmus: Run, server: Script
) -> None:
    server.on(f"GET {ONE}", a_network(), headers={"ETag": '"3"'})
    server.on(f"GET /api/v1/peers?name=gw&network={NETWORK_ID}&limit=500", page(a_peer(name="gw")))
    server.on(f"PATCH {ONE}", a_network() | {"reissue": []})
    assert isthmus("network", "update", NETWORK_ID, *options).code == 0
    assert server.bodies_of("PATCH") == [sent]


def test_create_sends_how_direct_paths_shall_be(isthmus: Run, server: Script) -> None:
    server.on("POST /api/v1/networks", a_network(), status=201)
    isthmus("network", "create", "office", "--direct-paths", "on")
    assert server.bodies_of("POST") == [{"name": "office", "direct_paths": "on"}]
    assert isthmus("network", "create", "office", "--direct-paths", "perhaps").code == 2
