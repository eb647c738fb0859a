"""Instances of one backend at the other's real ingress and Federator: their leaves count as the record says."""

import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from isthmus.domain.federation.names import BackendDomain, InstanceId, instance_uri
from lab.waiting import wait_until
from tests.federation.checks import clean_request, refused, refusing
from tests.federation.federation import AGENT_PORT, Federation
from tests.federation.party import Party
from tests.federation.wire import Credential
from tests.x509.forge import a_p256_key
from tests.x509.test_request import a_request

WITHIN = 20.0
AGENT = {"ISTHMUS_AGENT_STATE_DIR": "/var/lib/instance-agent"}


def credential_in(folder: Path) -> Credential:
    return Credential((folder / "chain.pem").read_bytes(), (folder / "key.pem").read_bytes())


def issued(party: Party, name: str, *arguments: str) -> tuple[Any, Credential]:
    """`isthmus instance issue` on the host of `party`: the instance, and the pair that it made there."""
    out = f"/root/{name}"
    made = party.site.asked("instance", "issue", name, "--out", out, *arguments)
    return made, credential_in(party.site.host.path(out))


def revoke(party: Party, instance: str) -> None:
    party.site.cli("instance", "revoke", instance, "--reason", "the test is over", "--yes")


def call_of(party: Party, other: Party, credential: Credential) -> str:
    answer = party.asks(other, credential=credential)
    return "" if answer.status == 200 else str(answer.json["code"])


def is_refused(party: Party, other: Party, credential: Credential) -> bool:
    return call_of(party, other, credential) == "federation_denied"


def row_of(party: Party, instance: str) -> Any:
    """The audit row of a call by that instance."""
    found = [row for row in party.audit() if row["actor"].endswith(f"/{instance}")]
    return found[-1] if found else None


@pytest.fixture
def billing(b: Party) -> Iterator[tuple[Any, Credential]]:
    made, credential = issued(b, f"billing-{uuid4().hex[:8]}")
    yield made, credential
    if b.api.get(f"/instances/{made['id']}").json()["revoked_at"] is None:
        revoke(b, made["id"])


@pytest.fixture
def agents(b: Party) -> Iterator[tuple[Any, Credential, Any]]:
    """A host of B that enrolled with `--instance`: what that answered, its pair, and its peer."""
    name = f"net-{uuid4().hex[:8]}"
    network = b.api.post("/networks", json={"name": name}).raise_for_status().json()
    created = b.api.post(f"/networks/{network['id']}/peers", json={"name": "web"}).raise_for_status().json()
    command = ["isthmus", "agent", "enroll", "--server", f"http://127.0.0.1:{AGENT_PORT}", "--instance", "--json"]
    token = created["enrollment"]["token"]
    done = b.site.host.run([*command, "--token-file", "-"], input=token, env=AGENT)
    folder = b.site.host.path(f"{AGENT['ISTHMUS_AGENT_STATE_DIR']}/instance")
    yield json.loads(done.stdout), credential_in(folder), created["peer"]
    b.site.host.run(["isthmus", "agent", "leave", "--yes"], env=AGENT)
    assert not folder.exists()
    b.api.delete(f"/peers/{created['peer']['id']}")
    b.api.delete(f"/networks/{network['id']}").raise_for_status()


def test_an_agent_that_enrolled_with_an_instance_is_believed_by_the_other_organisation(
    federation: Federation, agents: tuple[Any, Credential, Any]
) -> None:
    a, b, _ = federation.parties
    answer, credential, peer = agents
    instances = b.api.get("/instances").raise_for_status().json()["items"]
    (shown,) = [each for each in instances if each["peer"] is not None and each["peer"]["id"] == peer["id"]]
    assert answer["instance"]["uri"] == instance_uri(BackendDomain(b.domain), InstanceId(shown["id"]))
    assert (shown["made_by"], shown["leaf"]["uri"]) == ("agent", answer["instance"]["uri"])
    assert call_of(b, a, credential) == ""
    wait_until(lambda: row_of(a, shown["id"]), within=WITHIN, what="the row of its call")
    # What it is called, A may ask B; the one that nobody knows is the twin.
    name = a.calls(b.domain, rpc="get-instance", body=json.dumps({"instance": shown["id"]}).encode())
    assert (name.status, name.json["name"]) == (200, shown["name"])
    assert a.calls(b.domain, rpc="get-instance", body=json.dumps({"instance": str(uuid4())}).encode()).status != 200
    # Its peer goes, and so does what it may do.
    b.api.delete(f"/peers/{peer['id']}").raise_for_status()
    wait_until(lambda: call_of(b, a, credential) == "federation_denied", within=WITHIN, what="A to hear of it")
    with refusing(a, "leaf_revoked"):
        refused(b.asks(a, credential=credential), 403, "federation_denied")
    clean_request(b, a)


def test_a_leaf_says_what_the_record_says_whatever_its_request_said(federation: Federation, tmp_path: Path) -> None:
    a, b, _ = federation.parties
    key, name = a_p256_key(), f"forged-{uuid4().hex[:8]}"
    csr = b.site.host.path(f"/root/{name}.csr")
    csr.write_text(a_request(key, f"spiffe://{a.domain}/instance/{uuid4()}"))
    made = b.site.asked("instance", "issue", name, "--csr", f"/root/{name}.csr")
    assert made["leaf"]["uri"] == f"spiffe://{b.domain}/instance/{made['id']}"
    refusal = b.site.host.run(["isthmus", "instance", "issue", "other", "--csr", "/etc/resolv.conf"], check=False)
    assert refusal.returncode == 1
    assert "not exactly one in PEM" in refusal.stderr
    revoke(b, made["id"])


def test_a_revoked_instance_is_refused_by_the_other_organisation_and_no_other_one(
    federation: Federation, billing: tuple[Any, Credential]
) -> None:
    a, b, _ = federation.parties
    made, credential = billing
    other, others = issued(b, f"other-{uuid4().hex[:8]}")
    renewed = b.site.asked("instance", "renew", made["name"], "--out", f"/root/{made['name']}")
    assert renewed["id"] == made["id"]
    younger = credential_in(b.site.host.path(f"/root/{made['name']}"))
    assert younger != credential
    assert [call_of(b, a, each) for each in (credential, younger, others)] == ["", "", ""]
    revoke(b, made["name"])
    for each in (credential, younger):
        wait_until(partial(is_refused, b, a, each), within=WITHIN, what="A to hear of it")
        with refusing(a, "leaf_revoked"):
            refused(b.asks(a, credential=each), 403, "federation_denied")
    assert call_of(b, a, others) == ""
    revoke(b, other["id"])


def test_an_instance_that_the_other_side_blocks_is_told_so_until_it_is_unblocked(
    federation: Federation, billing: tuple[Any, Credential]
) -> None:
    a, b, _ = federation.parties
    made, credential = billing
    path = f"/remotes/{b.domain}/instances/{made['id']}/block"
    assert call_of(b, a, credential) == ""
    a.api.post(path, json={"reason": "an incident there"}).raise_for_status()
    wait_until(lambda: call_of(b, a, credential) == "instance_blocked", within=WITHIN, what="the Federator to follow")
    with refusing(a, "instance_blocked"):
        refused(b.asks(a, credential=credential), 403, "instance_blocked")
    clean_request(b, a)
    a.api.delete(path).raise_for_status()
    wait_until(lambda: call_of(b, a, credential) == "", within=WITHIN, what="the Federator to follow")
