"""The verbs of `isthmus peer`, against a server that answers as told."""

import stat
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from isthmus.cli import handout, peer_text, peers
from tests.cli.conftest import Run, Script
from tests.cli.samples import NETWORK_ID, PEER_ID, a_network, a_peer, a_problem, a_status, page

NOW = datetime(2026, 11, 23, 20, 10, tzinfo=UTC)
TOKEN = "isthmus_enroll_" + "x" * 43
CONF = "[Interface]\nPrivateKey = " + "k" * 44 + "\nAddress = 10.20.0.4/32\n\n[Peer]\n" + "# gw\n" * 60
CREATE = f"POST /api/v1/networks/{NETWORK_ID}/peers"
ONE = f"/api/v1/peers/{PEER_ID}"


@pytest.fixture
def office(server: Script) -> Script:
    server.on("GET /api/v1/networks?name=office&limit=500", page(a_network()))
    for name in ("laptop", "phone"):
        server.on(f"GET /api/v1/peers?name={name}&limit=500", page(a_peer(name=name)))
    return server


@pytest.fixture
def phone(office: Script) -> Script:
    """A server that makes the static peer phone."""
    peer = a_peer(name="phone", kind="static", enrollment={"state": "not_needed"})
    office.on(CREATE, {"peer": peer, "enrollment": None, "config": {"text": CONF, "filename": "phone.conf"}})
    return office


PHONE = ("peer", "create", "phone", "--network", "office", "--kind", "static")


def test_create_shows_the_token_alone_on_a_line_and_the_next_commands(isthmus: Run, office: Script) -> None:
    enrollment = {"token": TOKEN, "expires_at": "2026-11-24T20:10:00Z"}
    office.on(CREATE, {"peer": a_peer(), "enrollment": enrollment, "config": None}, status=201)
    shown = isthmus("peer", "create", "laptop", "--network", "office", "--label", "site=berlin")
    lines = shown.out.splitlines()
    assert TOKEN in lines
    assert "  isthmus agent enroll --server URL" in lines
    assert "  isthmus agent run" in lines
    assert TOKEN not in shown.err
    assert shown.out.count(TOKEN) == 1
    assert office.bodies_of("POST") == [
        {
            "name": "laptop",
            "kind": "dynamic",
            "isolated": False,
            "full_encapsulation": False,
            "additional_allowed_ips": [],
            "labels": {"site": "berlin"},
        }
    ]


def test_every_option_of_create_reaches_the_server(isthmus: Run, office: Script) -> None:
    office.on(CREATE, {"peer": a_peer(), "enrollment": None, "config": None}, status=201)
    isthmus(
        *("peer", "create", "r1", "--network", NETWORK_ID, "--kind", "jump", "--endpoint", "198.51.100.7:51820"),
        *("--public-key", "pub", "--keep-private-key", "--address-v4", "10.20.0.9", "--address-v6", "fd00::9"),
        *("--isolated", "--full-encapsulation", "--additional-allowed-ips", "192.168.7.0/24"),
        *("--additional-allowed-ips", "192.168.8.0/24", "--owner", "ops", "--label", "a=1", "--label", "b=2=3"),
        *("--token-lifetime", "2h", "--group", "staff", "--group", "berlin"),
    )
    assert office.bodies_of("POST") == [
        {
            "name": "r1",
            "kind": "jump",
            "endpoint": "198.51.100.7:51820",
            "public_key": "pub",
            "keep_private_key": True,
            "address_v4": "10.20.0.9",
            "address_v6": "fd00::9",
            "isolated": True,
            "full_encapsulation": True,
            "additional_allowed_ips": ["192.168.7.0/24", "192.168.8.0/24"],
            "owner": "ops",
            "labels": {"a": "1", "b": "2=3"},
            "groups": ["staff", "berlin"],
            "token_lifetime": 7200,
        }
    ]


def test_the_config_of_a_static_peer_is_all_that_stands_on_standard_output(isthmus: Run, phone: Script) -> None:
    shown = isthmus(*PHONE)
    assert shown.out == CONF
    assert "shown only now" in shown.err
    assert "PrivateKey" not in shown.err


def test_output_makes_a_file_for_its_owner_alone(isthmus: Run, phone: Script, tmp_path: Path) -> None:
    file = tmp_path / "phone.conf"
    shown = isthmus(*PHONE, "--output", str(file))
    assert shown.out == ""
    assert file.read_text(encoding="utf-8") == CONF
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_output_refuses_to_replace_a_file_before_the_server_is_asked(
    isthmus: Run, phone: Script, tmp_path: Path
) -> None:
    file = tmp_path / "phone.conf"
    file.write_text("old", encoding="utf-8")
    shown = isthmus(*PHONE, "--output", str(file))
    assert shown.code == 2
    assert "--force" in shown.err
    assert file.read_text(encoding="utf-8") == "old"
    assert phone.bodies_of("POST") == []
    file.chmod(0o644)
    assert isthmus(*PHONE, "--output", str(file), "--force").code == 0
    assert file.read_text(encoding="utf-8") == CONF
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_a_folder_that_is_not_there_is_found_out_before_the_server_is_asked(
    isthmus: Run, phone: Script, tmp_path: Path
) -> None:
    assert isthmus(*PHONE, "--output", str(tmp_path / "no" / "phone.conf")).code == 2
    assert phone.bodies_of("POST") == []


def test_a_refused_peer_leaves_no_file_behind(isthmus: Run, office: Script, tmp_path: Path) -> None:
    office.on(CREATE, a_problem(), status=422)
    folder = tmp_path / "configs"
    folder.mkdir()
    assert isthmus(*PHONE, "--output", str(folder / "phone.conf")).code == 1
    assert list(folder.iterdir()) == []


def test_output_is_not_for_peers_with_an_agent(isthmus: Run, office: Script, tmp_path: Path) -> None:
    shown = isthmus("peer", "create", "laptop", "--network", "office", "--output", str(tmp_path / "x"))
    assert shown.code == 2
    assert office.asked == []


def test_a_qr_code_is_drawn_when_asked_for_and_fits_into_80_columns(isthmus: Run, phone: Script) -> None:
    shown = isthmus(*PHONE, "--qr")
    assert shown.out == CONF
    drawn = shown.err.splitlines()[1:]
    assert len(drawn) > 20
    assert max(map(len, drawn)) <= 80
    assert {"▀", "▄", "█"} & set("".join(drawn))


def test_json_holds_all_of_a_static_peer_and_nothing_else_is_said(isthmus: Run, phone: Script, tmp_path: Path) -> None:
    file = tmp_path / "phone.conf"
    shown = isthmus(*PHONE, "--json", "--qr", "--output", str(file))
    assert shown.json["config"]["text"] == CONF
    assert shown.err == ""
    assert file.read_text(encoding="utf-8") == CONF


def test_config_and_regenerate_print_the_config_alone(isthmus: Run, office: Script) -> None:
    answer = {"text": CONF, "filename": "phone.conf"}
    office.on(f"GET {ONE}/config", answer)
    office.on(f"POST {ONE}/config/regenerate", answer)
    assert isthmus("peer", "config", "phone").out == CONF
    assert isthmus("peer", "regenerate", "phone").out == CONF
    assert isthmus("peer", "config", "phone", "--json").json == answer


def test_a_config_that_is_not_kept_is_refused_with_the_way_out(isthmus: Run, office: Script) -> None:
    hint = "regenerate the config"
    office.on(f"GET {ONE}/config", a_problem(status=410, code="config_already_shown", hint=hint), status=410)
    shown = isthmus("peer", "config", "phone")
    assert shown.code == 1
    assert f"what to do: {hint}" in shown.err


def test_token_makes_a_new_one(isthmus: Run, office: Script) -> None:
    office.on(f"POST {ONE}/enrollment-token", {"token": TOKEN, "expires_at": "2026-11-24T20:10:00Z"})
    assert TOKEN in isthmus("peer", "token", "laptop", "--lifetime", "30m").out.splitlines()
    assert office.bodies_of("POST") == [{"lifetime": 1800}]


def test_a_name_that_two_networks_have_asks_for_the_network(isthmus: Run, office: Script) -> None:
    other = a_peer(network={"id": "x", "name": "lab"})
    office.on("GET /api/v1/peers?name=laptop&limit=500", page(a_peer(), other))
    office.on(f"GET /api/v1/peers?name=laptop&network={NETWORK_ID}&limit=500", page(a_peer()))
    office.on(f"GET {ONE}", a_peer())
    shown = isthmus("peer", "show", "laptop")
    assert shown.code == 2
    assert "lab, office" in shown.err
    assert "--network" in shown.err
    assert isthmus("peer", "show", "laptop", "--network", "office").code == 0


def test_an_unknown_peer_is_refused_with_where_to_look(isthmus: Run, office: Script) -> None:
    office.on("GET /api/v1/peers?name=nobody&limit=500", page())
    shown = isthmus("peer", "show", "nobody")
    assert shown.code == 1
    assert "isthmus peer list" in shown.err


@pytest.mark.parametrize(
    ("arguments", "change"),
    [
        (["--isolated"], {"isolated": True}),
        (["--no-isolated"], {"isolated": False}),
        (["--owner", ""], {"owner": None}),
        (["--endpoint", ""], {"endpoint": None}),
        (["--name", "desk"], {"name": "desk"}),
        (["--additional-allowed-ips", "10.9.0.0/24"], {"additional_allowed_ips": ["10.9.0.0/24"]}),
        (["--additional-allowed-ips", ""], {"additional_allowed_ips": []}),
        (["--group", "a", "--group", "b"], {"groups": ["a", "b"]}),
        (["--group", ""], {"groups": []}),
        (["--label", "site=", "--label", "new=1"], {"labels": {"kept": "yes", "new": "1"}}),
    ],
)
def test_update_changes_what_was_given_and_names_the_version_that_it_read(
    arguments: list[str], change: dict[str, Any], isthmus: Run, office: Script
) -> None:
    office.on(f"GET {ONE}", a_peer(labels={"site": "berlin", "kept": "yes"}), headers={"ETag": '"3"'})
    office.on(f"PATCH {ONE}", a_peer())
    assert isthmus("peer", "update", "laptop", *arguments).code == 0
    assert office.asked[-1].body == change
    assert office.asked[-1].headers["If-Match"] == '"3"'


def test_update_without_a_change_is_misuse(isthmus: Run, office: Script) -> None:
    office.on(f"GET {ONE}", a_peer())
    assert isthmus("peer", "update", "laptop").code == 2
    assert office.bodies_of("PATCH") == []


def test_a_label_without_key_or_value_sign_is_misuse(isthmus: Run, office: Script) -> None:
    for text in ("site", "=berlin"):
        shown = isthmus("peer", "create", "x", "--network", "office", "--label", text)
        assert shown.code == 2
        assert "KEY=VALUE" in shown.err


def test_delete_names_the_peer(isthmus: Run, office: Script) -> None:
    office.on(f"DELETE {ONE}?force=true", b"", status=204)
    assert isthmus("peer", "delete", "laptop", "--force").out == "peer laptop is deleted\n"


def test_list_passes_its_filters_on(isthmus: Run, office: Script) -> None:
    query = f"network={NETWORK_ID}&kind=static&search=ph&enrolled=false&limit=500"
    office.on(f"GET /api/v1/peers?{query}", page())
    shown = isthmus("peer", "list", "--network", "office", "--kind", "static", "--search", "ph", "--not-enrolled")
    assert (shown.code, shown.out) == (0, "no peers: isthmus peer create laptop --network office\n")


def test_list_shows_address_endpoint_handshake_and_revisions() -> None:
    peers = [
        a_peer(name="gw", kind="jump", addresses=["10.20.0.1", "fd00::1"], endpoint="198.51.100.7:51820"),
        a_peer(status=a_status(applied_revision=6)),
    ]
    lines = peer_text.overview(peers, NOW, None).splitlines()
    assert lines[0].split() == ["NAME", "KIND", "ADDRESS", "ENDPOINT", "HANDSHAKE", "REV", "STATE"]
    assert lines[1].split() == ["gw", "jump", "10.20.0.1", "198.51.100.7:51820", "12s", "ago", "7/7", "online"]
    assert lines[2].split() == ["laptop", "dynamic", "10.20.0.2", "203.0.113.9:41820", "12s", "ago", "6/7", "online"]
    assert max(map(len, lines)) <= 80


def test_list_names_the_networks_when_there_are_several() -> None:
    other = a_peer(network={"id": "x", "name": "lab"})
    lines = peer_text.overview([a_peer(), other], NOW, None).splitlines()
    assert [line.split()[0] for line in lines] == ["NETWORK", "office", "lab"]


@pytest.mark.parametrize(
    ("changes", "state"),
    [
        ({}, "online"),
        ({"status": a_status(state="offline")}, "offline"),
        ({"status": a_status(state="unknown", connected=True)}, "unknown"),
        ({"status": a_status(applied_error="no such interface")}, "failed"),
        ({"enrollment": {"state": "pending"}, "status": None}, "pending"),
        ({"enrollment": {"state": "expired"}, "status": None}, "expired"),
        ({"kind": "static", "enrollment": {"state": "not_needed"}, "status": a_status(state="stale")}, "stale"),
    ],
)
def test_the_state_is_the_one_word_that_matters_most(changes: dict[str, Any], state: str) -> None:
    assert peer_text.state_of(a_peer(**changes)) == state


def test_details_hold_the_id_whole_and_what_the_host_reported() -> None:
    text = peer_text.details(a_peer(status=a_status(hostname="evil\x1b[2J", applied_error="boom")), NOW)
    for value in (PEER_ID, "fd12:3456:789a:1::2", "12s ago", "7/7", "2.0 KiB", "boom"):
        assert value in text
    assert "\x1b" not in text


def test_a_pending_peer_shows_the_prefix_of_its_token() -> None:
    enrollment = {"state": "pending", "prefix": "isthmus_enroll_ab", "expires_at": "2026-11-24T20:10:00Z"}
    text = peer_text.details(a_peer(enrollment=enrollment, status=None), NOW)
    assert "isthmus_enroll_ab…, until 2026-11-24 20:10 UTC" in text


def test_the_next_commands_name_the_server_where_its_url_is_known() -> None:
    text = handout.token_text({"token": TOKEN, "expires_at": "2026-11-24T20:10:00Z"}, "https://isthmus.example.com")
    assert "  isthmus agent enroll --server https://isthmus.example.com" in text.splitlines()


ROTATE = f"POST {ONE}/rotate-key"
OLD, NEW = "o" * 43 + "=", "n" * 43 + "="


def an_answer(**changes: Any) -> dict[str, Any]:
    asked = {"peer": {"id": PEER_ID, "name": "laptop"}, "public_key": OLD, "asked_at": "2026-11-23T20:00:00Z"}
    return asked | {"waits_for": None, "reissue": []} | changes


def test_rotate_key_waits_for_the_new_key_and_shows_both(isthmus: Run, office: Script) -> None:
    office.on(ROTATE, an_answer(), status=202)
    office.on(f"GET {ONE}", a_peer(public_key=NEW))
    shown = isthmus("peer", "rotate-key", "laptop", "--wait")
    assert shown.code == 0
    assert [line.split() for line in shown.out.splitlines()[1:]] == [["old", OLD], ["new", NEW]]
    assert isthmus("peer", "rotate-key", "laptop", "--wait", "--json").json["new_public_key"] == NEW


@pytest.mark.parametrize(
    ("waits_for", "said"),
    [("agent", "when it connects"), ("jump_peer", "jump peer is away"), ("others", "two minutes"), (None, "now")],
)
def test_rotate_key_says_whom_it_waits_for(isthmus: Run, office: Script, waits_for: str | None, said: str) -> None:
    office.on(ROTATE, an_answer(waits_for=waits_for), status=202)
    assert said in isthmus("peer", "rotate-key", "laptop").out


def test_a_key_that_does_not_change_in_time_is_a_failure(
    isthmus: Run, office: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(peers, "WAIT_SECONDS", 0.1)
    office.on(ROTATE, an_answer(), status=202)
    office.on(f"GET {ONE}", a_peer(public_key=OLD))
    shown = isthmus("peer", "rotate-key", "laptop", "--wait")
    assert shown.code == 1
    assert "did not change" in shown.err


def test_a_jump_peers_new_key_names_the_static_peers_that_need_it(isthmus: Run, office: Script) -> None:
    office.on(f"{ROTATE}?force=true", an_answer(reissue=[{"id": PEER_ID, "name": "phone"}]), status=202)
    assert "isthmus peer config phone" in isthmus("peer", "rotate-key", "laptop", "--force").out


def test_revoke_session_tells_how_the_host_returns(isthmus: Run, office: Script) -> None:
    office.on(f"DELETE {ONE}/session", b"", status=204)
    shown = isthmus("peer", "revoke-session", "laptop", "--yes")
    assert "isthmus peer token laptop" in shown.out


def test_show_tells_of_key_and_session() -> None:
    peer = a_peer(
        key={"changed_at": "2026-11-21T20:00:00Z", "asked_at": "2026-11-23T20:00:00Z"},
        session={"since": "2026-11-20T20:00:00Z", "rotated_at": "2026-11-23T19:10:00Z"},
    )
    text = peer_text.details(peer, NOW)
    assert "2d ago" in text
    assert "asked for 10m ago" in text
    assert "since 2026-11-20 20:00 UTC, token changed 1h ago" in text
    assert "ended: it returns with a new token" in peer_text.details(a_peer(session=None), NOW)
