"""The verbs of `isthmus certificate`, against a server that answers as told."""

from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Run, Script
from tests.cli.samples import a_problem

SERIAL = "3f2a9c00112233445566778899aabbccddeeff00"
PAST, FUTURE = "2026-01-01T00:00:00Z", "2999-01-01T00:00:00Z"


def a_leaf(**changes: Any) -> dict[str, Any]:
    return {
        "kind": "leaf",
        "id": SERIAL,
        "use": "current",
        "purpose": "federator",
        "uri": "spiffe://a.example/instance/0a4b8f9e-3c1d-4e5f-8a6b-7c8d9e0f1a2b",
        "infra_domains": ["infra.a.example"],
        "begins_at": PAST,
        "ends_at": FUTURE,
        "change": "renewed",
        "changes_at": FUTURE,
        "is_imported": False,
        "reason": "",
    } | changes


AUTHORITY = a_leaf(kind="authority", id="ab" * 32, purpose=None, uri="", infra_domains=[])
KEY = a_leaf(
    kind="message_key", id="kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k", purpose=None, ends_at=None, change=""
)
OLD = a_leaf(id="00aa", use="replaced", change="", changes_at=None)


def listing(*items: dict[str, Any], problem: str | None = None) -> dict[str, Any]:
    return {"items": list(items), "problem": problem}


ALL = listing(AUTHORITY, KEY, a_leaf(), OLD)


def test_list_shows_what_is_in_use_and_until_when(isthmus: Run, server: Script) -> None:
    server.on("GET /api/v1/certificates", ALL)
    lines = isthmus("certificate", "list").out.splitlines()
    assert [line.split()[0] for line in lines[1:]] == ["CA", "message", "leaf"]
    assert SERIAL[:16] in lines[3]
    assert "renewed in" in lines[3]
    assert len(isthmus("certificate", "list", "--all").out.splitlines()) == 5
    assert isthmus("certificate", "list", "--json").json == ALL


def test_list_says_what_keeps_certificates_from_being_renewed(isthmus: Run, server: Script) -> None:
    server.on("GET /api/v1/certificates", listing(a_leaf(), problem="/data/ca.key: there is no key file here"))
    assert "cannot be kept up: /data/ca.key" in isthmus("certificate", "list").out
    server.on("GET /api/v1/certificates", listing())
    assert "isthmus federation init" in isthmus("certificate", "list").out


def test_show_takes_an_id_its_beginning_or_the_bundle(isthmus: Run, server: Script) -> None:
    server.on("GET /api/v1/certificates/3f2a", a_leaf(pem=""))
    assert SERIAL in isthmus("certificate", "show", "3f2a").out
    server.on(f"GET /api/v1/certificates/{'ab' * 32}", AUTHORITY | {"pem": "-----BEGIN CERTIFICATE-----\n…"})
    assert "BEGIN CERTIFICATE" in isthmus("certificate", "show", "ab" * 32).out
    found = {
        "domain": "a.example",
        "sequence": 1_790_000_000,
        "digest": "ab",
        "refresh_hint": 300,
        "infra_domains": ["infra.a.example"],
        "authorities": 1,
        "message_keys": ["k"],
        "revoked": [],
        "signed": "a.b.c",
    }
    server.on("GET /api/v1/certificates/bundle", found)
    assert "1790000000" in isthmus("certificate", "show", "bundle").out
    shown = isthmus("certificate", "show", "../tokens")
    assert (shown.code, "is no id" in shown.err) == (2, True)


def test_renew_and_roll_answer_with_the_list(isthmus: Run, server: Script) -> None:
    server.on("POST /api/v1/certificates/renew", ALL)
    assert "leaf of the federator" in isthmus("certificate", "renew").out
    server.on("POST /api/v1/certificates/roll", ALL)
    assert "leaf of the federator" in isthmus("certificate", "roll", "message-key").out
    assert server.asked[-1].body == {"what": "message_key"}


def test_revoke_finds_the_leaf_and_gives_the_reason(isthmus: Run, server: Script) -> None:
    server.on("GET /api/v1/certificates/3f2a", a_leaf(pem=""))
    server.on(f"POST /api/v1/certificates/{SERIAL}/revoke", ALL)
    isthmus("certificate", "revoke", "03:F2:A", "--reason", "key was copied")
    assert server.asked[-1].body == {"reason": "key was copied"}
    server.on("GET /api/v1/certificates/abab", AUTHORITY | {"pem": ""})
    refused = isthmus("certificate", "revoke", "abab", "--reason", "x")
    assert (refused.code, "is no leaf" in refused.err) == (2, True)


def test_import_names_files_of_the_servers_machine(
    isthmus: Run, server: Script, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    server.on("POST /api/v1/certificates/import", ALL)
    isthmus("certificate", "import", "--certificate", "ca.pem", "--key-file", "/run/ca.key", "--key-stays")
    body = {"certificate_file": str(tmp_path / "ca.pem"), "key_file": "/run/ca.key", "key_stays": True}
    assert server.asked[-1].body == body


def test_import_shows_the_fault_of_the_file(isthmus: Run, server: Script) -> None:
    told = a_problem(errors=[{"pointer": "/key_file", "detail": "/run/ca.key: there is no key file here"}])
    server.on("POST /api/v1/certificates/import", told, status=422)
    shown = isthmus("certificate", "import", "--certificate", "ca.pem", "--key-file", "/run/ca.key")
    assert (shown.code, "/run/ca.key: there is no key file here" in shown.err) == (1, True)


@pytest.mark.parametrize("what", ["", "leaf"])
def test_only_authority_and_message_key_roll(isthmus: Run, what: str) -> None:
    assert isthmus("certificate", "roll", what).code == 2
