"""The verbs of `isthmus instance`, against a server that answers as told."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from isthmus.domain.federation.names import BackendDomain, InfraDomain, InstanceId, instance_uri
from isthmus.x509.authority import Wanted, make_authority
from isthmus.x509.pair import load_folder
from isthmus.x509.request import make_request, read_request
from tests.builders import NOON
from tests.cli.conftest import Run, Script
from tests.cli.samples import a_problem
from tests.x509.forge import INSTANCE

PAST, FUTURE = "2026-01-01T00:00:00Z", "2999-01-01T00:00:00Z"
WANTED = Wanted(instance_uri(BackendDomain("a.example"), InstanceId(INSTANCE)), (InfraDomain("infra.a.example"),))
AUTHORITY = make_authority("a.example", NOON)
LEAF = {
    "serial": "3f2a",
    "fingerprint": "ab" * 32,
    "uri": WANTED.uri,
    "infra_domains": ["infra.a.example"],
    "issued_at": PAST,
    "ends_at": FUTURE,
}
OTHER_ID = "0a4b8f9e-3c1d-4e5f-8a6b-000000000000"


def an_instance(**changes: Any) -> dict[str, Any]:
    return {
        "id": str(INSTANCE),
        "name": "billing",
        "made_by": "operator",
        "created_at": PAST,
        "peer": {"id": OTHER_ID, "name": "web"},
        "network": {"id": OTHER_ID, "name": "office"},
        "leaf": LEAF,
        "revoked_at": None,
        "revoked_by": "",
        "reason": "",
    } | changes


OWN = an_instance(id=OTHER_ID, name="federator", made_by="backend", created_at=None, peer=None, network=None)
ENDED = an_instance(leaf=None, revoked_at=PAST, revoked_by="user:ada", reason="the host was lost")


LIST = "GET /api/v1/instances?limit=500"
EVERY = "GET /api/v1/instances?revoked=true&limit=500"


def signs(asked: Any) -> dict[str, Any]:
    """What the server answers to whoever asks for a leaf."""
    made = AUTHORITY.certify(read_request(asked.body["csr"]), WANTED, NOON, timedelta(hours=24))
    return an_instance(chain=made.chain.decode())


def listing(*items: dict[str, Any]) -> dict[str, Any]:
    return {"items": list(items), "next": None}


def test_list_shows_where_instances_run_and_until_when(isthmus: Run, server: Script) -> None:
    server.on(LIST, listing(OWN, an_instance()))
    lines = isthmus("instance", "list").out.splitlines()
    assert [line.split()[0] for line in lines[1:]] == ["federator", "billing"]
    assert "office/web" in lines[2]
    assert "ends in" in lines[2]
    server.on(EVERY, listing(ENDED))
    assert "revoked" in isthmus("instance", "list", "--all").out
    server.on(LIST, listing())
    assert "isthmus federation init" in isthmus("instance", "list").out


def test_one_is_shown_and_revoked_by_name_or_id(isthmus: Run, server: Script) -> None:
    server.on(LIST, listing(OWN, an_instance()))
    server.on(f"GET /api/v1/instances/{INSTANCE}", an_instance())
    server.on(f"POST /api/v1/instances/{INSTANCE}/revoke", ENDED)
    for name in ("billing", str(INSTANCE)):
        assert WANTED.uri in isthmus("instance", "show", name).out
        assert "the host was lost" in isthmus("instance", "revoke", name, "--reason", "the host was lost", "--yes").out
    unknown = isthmus("instance", "show", "nobody")
    assert (unknown.code, "isthmus instance list" in unknown.err) == (1, True)


def test_the_key_that_is_made_here_stays_here(isthmus: Run, server: Script, tmp_path: Path) -> None:
    server.on("POST /api/v1/instances", signs)
    out = tmp_path / "out"
    done = isthmus("instance", "issue", "billing", "--out", str(out), "--expires", "2h")
    assert done.code == 0, done.err
    pair = load_folder(out / "current")
    assert pair.leaf.uris == (WANTED.uri,)
    body = server.asked[-1].body
    assert (body["name"], body["lifetime"]) == ("billing", 7200)
    assert body.keys() == {"name", "lifetime", "csr"}
    assert "PRIVATE" not in str(body)
    assert (out / "key.pem").stat().st_mode & 0o777 == 0o600


def test_a_request_of_somebody_else_gives_a_leaf_on_standard_output(
    isthmus: Run, server: Script, tmp_path: Path
) -> None:
    server.on("POST /api/v1/instances", signs)
    (tmp_path / "csr.pem").write_text(make_request()[1])
    done = isthmus("instance", "issue", "billing", "--csr", str(tmp_path / "csr.pem"))
    assert done.out.startswith("-----BEGIN CERTIFICATE-----")
    assert "until" in done.err
    server.on("POST /api/v1/instances", a_problem(code="csr_invalid"), status=422)
    assert isthmus("instance", "issue", "billing", "--csr", str(tmp_path / "csr.pem")).code == 1


def test_renewing_takes_the_place_of_the_pair_in_the_folder(isthmus: Run, server: Script, tmp_path: Path) -> None:
    server.on("POST /api/v1/instances", signs)
    server.on(LIST, listing(an_instance()))
    server.on(f"POST /api/v1/instances/{INSTANCE}/renew", signs)
    isthmus("instance", "issue", "billing", "--out", str(tmp_path / "out"))
    first = load_folder(tmp_path / "out" / "current")
    assert isthmus("instance", "renew", "billing", "--out", str(tmp_path / "out")).code == 0
    assert load_folder(tmp_path / "out" / "current").leaf.key != first.leaf.key


@pytest.mark.parametrize("arguments", [(), ("--out", "x", "--csr", "y"), ("--csr", "/does/not/exist")])
def test_it_must_be_clear_where_the_key_is(isthmus: Run, server: Script, arguments: tuple[str, ...]) -> None:
    done = isthmus("instance", "issue", "billing", *arguments)
    assert (done.code, server.asked) == (2, [])


def test_a_file_in_the_way_is_told_before_a_leaf_is_issued(isthmus: Run, server: Script, tmp_path: Path) -> None:
    (tmp_path / "key.pem").write_text("precious")
    done = isthmus("instance", "issue", "billing", "--out", str(tmp_path))
    assert (done.code, server.asked) == (1, [])
    assert "key.pem" in done.err
    assert (tmp_path / "key.pem").read_text() == "precious"
