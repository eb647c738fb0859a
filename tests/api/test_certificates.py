"""The backend's own certificates by REST, on a real server with real files."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from cryptography.hazmat.primitives.hashes import SHA256

from isthmus.protocol.bundle import open_first, open_next
from isthmus.protocol.places import Places
from isthmus.x509.pair import load_folder
from tests.builders import NOON
from tests.server import Server, running
from tests.x509.forge import an_authority

FACTS = {"domain": "a.example", "infra_domains": ["infra.a.example"], "listen": "127.0.0.1:8443"}
LEAVES = {"federator", "ingress"}


@pytest.fixture(scope="module")
def own(either_server: Server) -> Server:
    with either_server.local() as local:
        assert local.get("/certificates").json() == {"items": [], "problem": None}
        assert local.get("/certificates/bundle").status_code == 404
        assert local.post("/certificates/renew").status_code == 404
        local.post("/federation/init", json=FACTS).raise_for_status()
    return either_server


@pytest.fixture
def local(own: Server) -> Iterator[httpx2.Client]:
    with own.local() as client:
        yield client


def listed(local: httpx2.Client, **where: Any) -> list[dict[str, Any]]:
    items = local.get("/certificates").raise_for_status().json()["items"]
    return [each for each in items if all(each[name] == value for name, value in where.items())]


def in_use(local: httpx2.Client) -> dict[str, str]:
    return {each["purpose"]: each["id"] for each in listed(local, kind="leaf", use="current")}


def test_the_list_says_what_is_in_use_and_the_files_agree(own: Server, local: httpx2.Client) -> None:
    assert in_use(local).keys() == LEAVES
    places = Places(own.data)
    assert f"{load_folder(places.federator_pair).leaf.serial:x}" == in_use(local)["federator"]
    assert f"{load_folder(places.ingress_pair).leaf.serial:x}" == in_use(local)["ingress"]
    (authority,) = listed(local, kind="authority", use="current")
    assert (authority["change"], authority["is_imported"]) == ("renewed", False)
    assert len(listed(local, kind="message_key", use="current")) == 1


def test_one_is_found_by_the_beginning_of_its_id(local: httpx2.Client) -> None:
    (authority,) = listed(local, kind="authority", use="current")
    found = local.get(f"/certificates/{authority['id'][:12]}").raise_for_status().json()
    assert found["id"] == authority["id"]
    assert found["pem"].startswith("-----BEGIN CERTIFICATE-----")
    assert local.get("/certificates/ffffffffffff").status_code == 404
    assert local.get("/certificates/%2e%2e%2f").status_code in {404, 422}


def test_renewed_leaves_are_others_at_once(local: httpx2.Client) -> None:
    before = in_use(local)
    local.post("/certificates/renew").raise_for_status()
    after = in_use(local)
    assert after.keys() == LEAVES
    assert not set(before.values()) & set(after.values())


def test_a_revoked_leaf_is_replaced_and_listed_in_the_bundle(local: httpx2.Client) -> None:
    before = open_first(local.get("/certificates/bundle").json()["signed"])
    serial = in_use(local)["federator"]
    local.post(f"/certificates/{serial}/revoke", json={"reason": "key was copied"}).raise_for_status()
    assert in_use(local)["federator"] != serial
    (revoked,) = listed(local, id=serial)
    assert (revoked["use"], revoked["reason"]) == ("revoked", "key was copied")
    shown = local.get("/certificates/bundle").json()
    bundle, is_news = open_next(shown["signed"], before.known())
    assert (is_news, shown["revoked"][0]) == (True, serial)
    assert bundle.sequence == shown["sequence"]
    again = local.post(f"/certificates/{serial}/revoke", json={"reason": "again"})
    assert (again.status_code, again.json()["code"]) == (409, "transition_not_allowed")
    assert local.post("/certificates/abc/revoke", json={"reason": "x"}).status_code == 404
    assert local.post(f"/certificates/{serial}/revoke", json={"reason": "a\nb"}).status_code == 422
    rows = local.get("/audit").json()["items"]
    assert {"certificate.revoke", "certificate.issue", "certificate.bundle"} <= {row["action"] for row in rows}


def test_a_message_key_rolls_over_once_at_a_time(local: httpx2.Client) -> None:
    local.post("/certificates/roll", json={"what": "message_key"}).raise_for_status()
    (successor,) = listed(local, kind="message_key", use="next")
    assert successor["change"] == "used"
    assert successor["id"] in local.get("/certificates/bundle").json()["message_keys"]
    again = local.post("/certificates/roll", json={"what": "message_key"})
    assert again.status_code == 409
    assert local.post("/certificates/roll", json={"what": "leaf"}).status_code == 422


def test_a_ca_is_imported_from_files_over_the_servers_socket_alone(own: Server, local: httpx2.Client) -> None:
    given = an_authority("given", starts=NOON, ends=NOON.replace(year=2040))
    certificate, key = own.folder / "ca.pem", own.folder / "ca.key"
    certificate.write_bytes(given.pem)
    body = {"certificate_file": str(certificate), "key_file": str(key)}
    missing = local.post("/certificates/import", json=body)
    assert missing.status_code == 422
    assert missing.json()["errors"][0]["pointer"] == "/key_file"
    assert f"{key}: there is no key file here" in missing.json()["detail"]
    key.write_bytes(given.key_pem)
    with own.client(own.token("read", "write", "admin")) as admin:
        assert admin.post("/certificates/import", json=body).status_code == 403
    local.post("/certificates/import", json=body).raise_for_status()
    (successor,) = listed(local, kind="authority", use="next")
    assert (successor["is_imported"], successor["id"]) == (True, given.certificate.fingerprint(SHA256()).hex())
    assert local.post("/certificates/import", json=body | {"key_file": "ca.key"}).status_code == 422


def test_a_backend_begins_with_a_ca_that_was_imported_before(tmp_path: Path) -> None:
    given = an_authority("given", starts=NOON, ends=NOON.replace(year=2040))
    (tmp_path / "ca.pem").write_bytes(given.pem)
    (tmp_path / "ca.key").write_bytes(given.key_pem)
    with running(tmp_path) as server, server.local() as local:
        body = {"certificate_file": f"{tmp_path}/ca.pem", "key_file": f"{tmp_path}/ca.key", "key_stays": True}
        local.post("/certificates/import", json=body).raise_for_status()
        local.post("/federation/init", json=FACTS).raise_for_status()
        (authority,) = listed(local, kind="authority")
        assert (authority["use"], authority["is_imported"]) == ("current", True)
        bundle = open_first(local.get("/certificates/bundle").json()["signed"])
        assert bundle.authorities == (given.der,)


def test_only_an_administrator_revokes(own: Server, local: httpx2.Client) -> None:
    serial = in_use(local)["ingress"]
    with own.client(own.token("read", "write")) as writer:
        refused = writer.post(f"/certificates/{serial}/revoke", json={"reason": "x"})
        assert refused.status_code == 403
        assert writer.get("/certificates").status_code == 200
    assert in_use(local)["ingress"] == serial


def test_files_that_are_lost_are_told_with_their_names(tmp_path: Path) -> None:
    with running(tmp_path) as server, server.local() as local:
        local.post("/federation/init", json=FACTS).raise_for_status()
        before = in_use(local)
        folder = (Places(server.data).authority / "current").resolve()
        folder.rename(folder.with_name("elsewhere"))
        broken = local.post("/certificates/renew")
        assert broken.status_code == 500
        assert str(folder) in broken.json()["detail"]
        assert in_use(local) == before
        folder.with_name("elsewhere").rename(folder)
        local.post("/certificates/renew").raise_for_status()
        assert in_use(local).keys() == LEAVES
