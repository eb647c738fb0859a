"""The federation over the API of real servers: facts, invitations, remotes; and the sockets beside it."""

import json
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx2
import msgspec
import pytest

from isthmus.protocol.federation import COMPONENTS
from isthmus.protocol.federator import Report, Snapshot, Suspicion
from isthmus.protocol.ingress import IngressFacts
from isthmus.protocol.places import Places
from lab.waiting import wait_until
from tests.server import Server, running

INSTANCE = "3f2504e0-4f89-41d3-9a0c-0305e82c3301"
PRINT = "ab" * 32


@dataclass
class Two:
    """Two backends without Federators: nobody carries what they say to each other."""

    a: httpx2.Client
    b: httpx2.Client
    server: Server


@pytest.fixture(scope="module")
def two(either_server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Two]:
    with running(tmp_path_factory.mktemp("b")) as other, either_server.local() as a, other.local() as b:
        for client, domain in ((a, "a.example"), (b, "b.example")):
            body = {"domain": domain, "infra_domains": [f"infra.{domain}"]}
            assert client.post("/federation/init", json=body).status_code == 201
        yield Two(a, b, either_server)


def invited(client: httpx2.Client, domain: str) -> dict[str, Any]:
    made: dict[str, Any] = client.post("/remotes/invitations", json={"domain": domain}).raise_for_status().json()
    return made


@pytest.fixture(scope="module")
def pending(two: Two) -> str:
    """The domain of a remote of B that waits for its acceptance to be told."""
    text = invited(two.a, "b.example")["text"]
    done = two.b.post("/remotes/accept", json={"invitation": f"> {text}"})
    assert done.status_code == 201, done.text
    assert done.json()["problem"]["code"] == "upstream_unavailable"
    return str(done.json()["remote"]["domain"])


def test_before_it_is_set_up_the_sockets_are_there_and_the_api_says_what_to_do(tmp_path: Path) -> None:
    with running(tmp_path) as server, server.local() as local:
        places = Places(server.data)
        assert stat.S_IMODE(places.run.stat().st_mode) == 0o700
        sockets = [places.control, *(places.component(name) for name in COMPONENTS)]
        assert {stat.S_IMODE(path.stat().st_mode) for path in sockets} == {0o600}
        assert control(server, "/snapshot").status_code == 204
        answer = local.get("/federation")
        assert (answer.status_code, "isthmus federation init" in answer.json()["hint"]) == (404, True)
        assert local.post("/remotes/invitations", json={"domain": "b.example"}).status_code == 404
        assert local.get("/remotes").json() == {"items": [], "next": None}
        server.stop()
        assert not any(path.exists() for path in sockets)


def control_client(server: Server) -> httpx2.Client:
    transport = httpx2.HTTPTransport(uds=str(Places(server.data).control))
    return httpx2.Client(base_url="http://control", transport=transport, timeout=20)


def control(server: Server, path: str) -> httpx2.Response:
    with control_client(server) as client:
        return client.get(path)


def test_facts_are_shown_with_what_to_publish_and_changed_by_their_version(two: Two) -> None:
    shown = two.a.get("/federation")
    facts = shown.json()
    assert facts["srv_records"] == ["_isthmus-federator._tcp.a.example. 300 IN SRV 0 10 8443 infra.a.example."]
    assert (facts["strategy"], facts["shared_roots"], facts["ports"]) == ("list", 0, [443, 8443])
    etag = shown.headers["etag"]
    changed = two.a.patch("/federation", json={"strategy": "all"}, headers={"If-Match": etag})
    assert (changed.status_code, changed.json()["strategy"]) == (200, "all")
    assert two.a.patch("/federation", json={"strategy": "none"}, headers={"If-Match": etag}).status_code == 412
    assert two.a.patch("/federation", json={"strategy": "list"}).json()["version"] == changed.json()["version"] + 1
    for wrong in ({"strategy": "some"}, {"listen": "x"}, {"unknown": 1}, {"ports": [0]}, {"infra_domains": ["x"]}):
        assert two.a.patch("/federation", json=wrong).status_code == 422
    again = two.a.post("/federation/init", json={"domain": "a.example", "infra_domains": ["infra.a.example"]})
    assert (again.status_code, "federation set" in again.json()["hint"]) == (409, True)


def test_the_material_is_where_federator_and_ingress_look_for_it(two: Two) -> None:
    places = Places(two.server.data)
    for path in (places.federator_pair, places.ingress_pair):
        assert (path / "chain.pem").read_text().startswith("-----BEGIN CERTIFICATE-----")
        assert stat.S_IMODE((path / "key.pem").stat().st_mode) == 0o600
    assert len(places.listener_key.read_bytes()) == 32
    snapshot = msgspec.json.decode(control(two.server, "/snapshot").content, type=Snapshot)
    ingress = msgspec.json.decode(control(two.server, "/ingress").content, type=IngressFacts)
    assert (snapshot.domain, snapshot.infra_domains) == ("a.example", ["infra.a.example"])
    assert snapshot.own_authorities
    assert len(ingress.anchors) == 1


def test_an_invitation_is_shown_once_and_listed_without_its_text(two: Two) -> None:
    made = invited(two.a, "d.example")
    assert made["text"].startswith("-----BEGIN ISTHMUS INVITATION-----\n")
    assert made["state"] == "open"
    listed = two.a.get("/remotes/invitations").json()["items"]
    (found,) = [each for each in listed if each["id"] == made["id"]]
    assert "text" not in found
    assert (found["domain"], found["created_by"]) == ("d.example", "local")
    assert two.a.delete(f"/remotes/invitations/{made['id']}").status_code == 204
    assert two.a.delete(f"/remotes/invitations/{made['id']}").status_code == 409
    assert two.a.delete(f"/remotes/invitations/{INSTANCE}").status_code == 404
    page = two.a.get("/remotes/invitations", params={"limit": 1}).json()
    assert len(page["items"]) == 1
    audit = two.a.get("/audit", params={"limit": 1000}).json()["items"]
    assert not [row for row in audit if "isthmus-invitation-" in json.dumps(row)]
    lifetimes = [{"domain": "d.example", "lifetime": seconds} for seconds in (1, -(10**17), 10**17)]
    for wrong in ({"domain": "x"}, *lifetimes, {"domain": "a.example"}):
        assert two.a.post("/remotes/invitations", json=wrong).status_code == 422


def test_an_accepted_invitation_is_a_pending_remote_with_its_credential(two: Two, pending: str) -> None:
    remote = two.b.get(f"/remotes/{pending}").json()
    assert (remote["state"], remote["direction"], remote["trust"]) == ("pending", "both", "pinned")
    assert len(remote["short_code"]) == 14
    assert remote["accepting_until"] is not None
    refused = two.b.post(f"/remotes/{pending}/confirm", json={"short_code": remote["short_code"]})
    assert (refused.status_code, refused.json()["code"]) == (409, "transition_not_allowed")
    assert two.b.post("/remotes/accept", json={"invitation": "nothing"}).status_code == 422
    again = two.b.post("/remotes/accept", json={"invitation": invited(two.a, "b.example")["text"]})
    assert again.status_code == 409


def test_remotes_change_by_their_version(two: Two, pending: str) -> None:
    path = f"/remotes/{pending}"
    shown = two.b.get(path)
    etag = {"If-Match": shown.headers["etag"]}
    body = {
        "direction": "in",
        "components": ["directory"],
        "limits": {"requests": 5},
        "expires_at": "2099-01-01T00:00:00Z",
        "contact": "ops@a.example",
        "needs_dnssec": True,
    }
    changed = two.b.patch(path, json=body, headers=etag)
    assert changed.status_code == 200, changed.text
    assert changed.json()["limits"] == {**shown.json()["limits"], "requests": 5}
    assert (changed.json()["direction"], changed.json()["components"]) == ("in", ["directory"])
    assert two.b.patch(path, json={"notes": "x"}, headers=etag).status_code == 412
    cleared = two.b.patch(path, json={"components": None, "expires_at": None}).json()
    assert (cleared["components"], cleared["expires_at"], cleared["contact"]) == (None, None, "ops@a.example")
    for wrong in (
        {"components": ["nothing"]},
        {"direction": "up"},
        {"limits": {"requests": -1}},
        {"limits": {"unknown": 1}},
        {"expires_at": "2099-01-01T00:00:00"},
        {"state": "active"},
    ):
        assert two.b.patch(path, json=wrong).status_code == 422, wrong


def test_leaves_are_revoked_and_instances_blocked(two: Two, pending: str) -> None:
    path = f"/remotes/{pending}"
    for named in ({"fingerprint": PRINT}, {"serial": "abc"}, {"key": PRINT}, {"instance": INSTANCE}):
        made = two.b.post(f"{path}/revocations", json={"reason": "lost", **named})
        assert made.status_code == 201, made.text
        assert made.json() == {**dict.fromkeys(("fingerprint", "serial", "key", "instance")), **made.json()}
    assert len(two.b.get(f"{path}/revocations").json()["items"]) == 4
    for wrong in ({}, {"serial": "abc", "key": PRINT}, {"fingerprint": "zz"}, {"serial": "0"}, {"instance": "x"}):
        assert two.b.post(f"{path}/revocations", json={"reason": "lost", **wrong}).status_code == 422, wrong
    blocked = two.b.post(f"{path}/instances/{INSTANCE}/block", json={"reason": "odd"})
    assert (blocked.status_code, blocked.json()["reason"]) == (200, "odd")
    assert two.b.get(path).json()["instances"][0]["blocked_at"] is not None
    assert two.b.delete(f"{path}/instances/{INSTANCE}/block").status_code == 204
    assert two.b.get(path).json()["instances"][0]["blocked_at"] is None


def test_the_doctor_needs_a_federator_and_says_so(two: Two, pending: str) -> None:
    answer = two.b.post(f"/remotes/{pending}/doctor")
    assert (answer.status_code, answer.json()["code"]) == (503, "upstream_unavailable")
    assert "isthmus up" in answer.json()["hint"]


def test_a_remote_is_revoked_and_another_entry_begins_anew(two: Two, pending: str) -> None:
    path = f"/remotes/{pending}"
    assert two.b.post(f"{path}/suspend").status_code == 409
    revoked = two.b.post(f"{path}/revoke")
    assert (revoked.status_code, revoked.json()["state"]) == (200, "revoked")
    assert two.b.post(f"{path}/revoke").status_code == 409
    done = two.b.post("/remotes/accept", json={"invitation": invited(two.a, "b.example")["text"]}).json()
    assert (done["remote"]["generation"], done["remote"]["contact"]) == (2, "")
    assert [each["generation"] for each in two.b.get(path).json()["earlier"]] == [1]
    assert [each["domain"] for each in two.b.get("/remotes").json()["items"]] == [pending]


def test_a_removed_remote_is_listed_no_more_and_another_entry_begins_anew(two: Two, pending: str) -> None:
    path = f"/remotes/{pending}"
    generation = two.b.get(path).json()["generation"]
    assert two.b.delete(path).status_code == 204
    assert two.b.get("/remotes").json()["items"] == []
    assert [two.b.get(path).status_code, two.b.delete(path).status_code] == [404, 404]
    done = two.b.post("/remotes/accept", json={"invitation": invited(two.a, "b.example")["text"]}).json()
    assert done["remote"]["generation"] == generation + 1
    (row,) = [row for row in two.b.get("/audit").json()["items"] if row["action"] == "remote.remove"]
    assert (row["subject"], row["facts"]["state"]) == (pending, "revoked")


def test_what_a_remote_has_not_acknowledged_is_listed_tried_again_and_dropped(two: Two) -> None:
    path = "/remotes/m.example/messages"
    roots = next(iter(msgspec.json.decode(control(two.server, "/ingress").content, type=IngressFacts).anchors))
    two.a.patch("/federation", json={"shared_roots": roots}).raise_for_status()
    added = two.a.post("/remotes", json={"domain": "m.example", "infra_domains": ["infra.m.example"]})
    assert added.status_code == 201, added.text
    assert two.a.get(path).json() == {"items": [], "next": None}
    for verb in ("suspend", "resume", "suspend"):
        two.a.post(f"/remotes/m.example/{verb}").raise_for_status()
    page = two.a.get(path, params={"limit": 2}).json()
    assert [(each["lane"], each["number"], each["parked"]) for each in page["items"]] == [
        ("state", 1, ""),
        ("state", 2, ""),
    ]
    rest = two.a.get(path, params={"limit": 2, "after": page["next"]}).json()
    assert ([each["number"] for each in rest["items"]], rest["next"]) == ([3], None)
    assert two.a.post(f"{path}/retry").json() == {"messages": 3}
    dropped = two.a.post(f"{path}/state/2/drop", json={"reason": "why not"})
    assert (dropped.status_code, dropped.json()["instead"]["number"]) == (200, 2)
    assert two.a.post(f"{path}/state/9/drop", json={"reason": "x"}).status_code == 404
    for wrong in ("x/1", "state/0", "state/x"):
        assert two.a.post(f"{path}/{wrong}/drop", json={"reason": "x"}).status_code == 422, wrong
    assert two.a.post(f"{path}/state/1/drop", json={}).status_code == 422
    assert two.a.get("/remotes/nobody.example/messages").status_code == 404
    actions = [row["action"] for row in two.a.get("/audit").json()["items"]]
    assert (actions.count("remote.drop-message"), actions.count("remote.retry-messages")) == (1, 1)


def test_findings_say_how_bad_since_when_and_what_to_do_and_go_when_their_cause_has_gone(two: Two) -> None:
    assert two.a.get("/findings").json() == {"items": [], "next": None}
    at = datetime.now(UTC).timestamp()
    unpinned = Suspicion("infra_domain_changed", "n.example", at, {"announced": ["x.example"]})
    foreign = Suspicion("foreign_authority", "n.example", at, {"leaf": "ab"})
    with control_client(two.server) as control_socket:
        body = msgspec.json.encode(Report(suspicions=[unpinned, foreign]))
        assert control_socket.post("/report", content=body).status_code == 204
    found = {each["kind"]: each for each in two.a.get("/findings").json()["items"]}
    assert (found["foreign_authority"]["severity"], found["foreign_authority"]["cleared_at"]) == ("high", None)
    assert found["foreign_authority"]["mend"]
    # There is no such remote, so nothing of its names is left to be done.
    wait_until(lambda: len(two.a.get("/findings").json()["items"]) == 1, within=40, what="the clearing")
    everything = {each["kind"]: each for each in two.a.get("/findings", params={"cleared": True}).json()["items"]}
    assert everything["infra_domain_changed"]["cleared_at"] is not None
    assert two.a.get("/findings", params={"cleared": "perhaps"}).status_code == 422


def test_what_is_no_remote_is_not_found(two: Two) -> None:
    for domain in ("nobody.example", "x", "A.example", "..", "%00"):
        assert two.a.get(f"/remotes/{domain}").status_code == 404, domain
        assert two.a.post(f"/remotes/{domain}/revoke").status_code in (404, 405), domain


def test_whoever_may_write_may_cut_a_remote_off_and_may_not_trust_one(two: Two) -> None:
    with two.server.client(two.server.token("read", "write")) as writer:
        assert writer.get("/remotes").status_code == 200
        assert writer.post("/remotes/nobody.example/revoke").status_code == 404
        assert writer.delete("/remotes/nobody.example").status_code == 404
        for method, path in (
            ("POST", "/remotes/invitations"),
            ("POST", "/remotes/accept"),
            ("POST", "/remotes/nobody.example/confirm"),
            ("POST", "/remotes/nobody.example/resume"),
            ("PATCH", "/remotes/nobody.example"),
            ("PATCH", "/federation"),
            ("POST", "/federation/init"),
        ):
            assert writer.request(method, path, json={}).status_code == 403, path
    with two.server.client(two.server.token("read")) as reader:
        assert reader.post("/remotes/nobody.example/revoke").status_code == 403
        assert reader.delete("/remotes/nobody.example").status_code == 403
