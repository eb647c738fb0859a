"""Texts of a remote: whatever they look like, they are kept as they are or refused with a row, and do nothing."""

import contextlib
import json
import time
from collections.abc import Iterator, Mapping
from typing import Any
from uuid import uuid4

import pytest

from isthmus.protocol.federation import RPCS
from lab.waiting import wait_until
from tests.federation.checks import no_state_change, one_audit_row, refused, until_quiet
from tests.federation.federation import Federation
from tests.federation.overlays import a_network, shown
from tests.federation.party import Party
from tests.federation.test_faults import signed
from tests.federation.wire import Answer
from tests.foreign import HOSTILE

WITHIN = 20.0
PLAIN = "plain"
SERVICE = {"name": "wiki", "network": "office", "protocol": "tcp", "address": "10.0.0.7", "ports": [[443, 443]]}


def a_grant(**fields: Any) -> dict[str, Any]:
    """What A tells B of a grant to one of B's people."""
    now = time.time()
    told = {"id": str(uuid4()), "revision": 1, "subject": "bob@b.example", "kind": "service", "resource_id": "one"}
    return told | {"scopes": ["connect"], "issued_at": now, "expires_at": now + 600} | fields


CALLS: Mapping[str, tuple[str, Any]] = {
    "a handle": ("directory/get-user-by-handle", lambda text: {"handle": text}),
    "an instance": ("directory/get-instance", lambda text: {"instance": text}),
    "what a handle begins with": ("directory/search-users", lambda text: {"begins": text}),
    "a bridge": ("bridges/get", lambda text: {"bridge": text}),
    "what a bridge is said to be": ("bridges/tell", lambda text: {"statement": text}),
    "a short code": ("handshake/confirm", lambda text: {"short_code": text[:32]}),
    "what happened": ("handshake/notice", lambda text: {"what": text, "lane": "state", "number": 1}),
    "a bundle": ("handshake/notice", lambda text: {"what": "bundle", "lane": "state", "number": 9_999, "bundle": text}),
    "the subject of a grant": ("grants/tell", lambda text: a_grant(subject=text)),
    "the kind of a grant": ("grants/tell", lambda text: a_grant(kind=text)),
    "the resource of a grant": ("grants/tell", lambda text: a_grant(resource_id=text)),
    "a scope of a grant": ("grants/tell", lambda text: a_grant(scopes=[text])),
    "an instance of a grant": ("grants/tell", lambda text: a_grant(instances=[text])),
    "a source of a grant": ("grants/tell", lambda text: a_grant(sources=[text])),
    "a service": ("grants/tell", lambda text: a_grant(services=[SERVICE | {"name": text}])),
    "the network of a service": ("grants/tell", lambda text: a_grant(services=[SERVICE | {"network": text}])),
    "the address of a service": ("grants/tell", lambda text: a_grant(services=[SERVICE | {"address": text}])),
}
# Codes that say no to the whole call before a text of it is looked at: its number is not the next one.
BEFORE = {"a bundle": {"sequence_gap"}}


@pytest.fixture(scope="module", autouse=True)
def generous(federation: Federation) -> Iterator[None]:
    """B takes as many calls of A as these tests make."""
    a, b = federation.a, federation.b
    before = b.api.get(f"/remotes/{a.domain}").raise_for_status().json()["limits"]
    limit(a, b, before | {"mutations": 500, "mutations_burst": 500})
    yield
    limit(a, b, before)


def limit(a: Party, b: Party, wanted: Any) -> None:
    before = snapshot(a, b)
    b.api.patch(f"/remotes/{a.domain}", json={"limits": wanted}).raise_for_status()
    wait_until(lambda: snapshot(a, b) > before, within=WITHIN, what=f"the Federator of {b} to follow")


def snapshot(a: Party, b: Party) -> int:
    """The number of the snapshot that a call is decided by."""
    answer = a.asks(b)
    assert answer.status == 200
    request_id = answer.header("X-Request-Id") or ""
    found: list[str] = []

    def is_told() -> bool:
        found[:] = [line for line in b.site.log_of("federator") if request_id in line]
        return bool(found)

    wait_until(is_told, within=WITHIN, what="the line of the call")
    return int(json.loads(found[0])["snapshot"])


def asked(a: Party, b: Party, call: str, body: Any) -> Answer:
    line, data = f"POST /federation/{call}", json.dumps(body).encode()
    component, rpc = call.split("/")
    proof = signed(a, line, data, str(uuid4())) if RPCS[component, rpc].changes else {}
    return a.asks(b, a.request(b, line, body=data, changed=proof))


def held_texts(party: Party) -> set[str]:
    """All texts in the grants that others say they have given to people of `party`."""
    found = party.api.get("/grants/held", params={"limit": 1000}).raise_for_status().json()["items"]
    return texts_in(found)


def texts_in(found: Any) -> set[str]:
    if isinstance(found, dict):
        return set().union(*map(texts_in, found.values()))
    if isinstance(found, list):
        return set().union(*map(texts_in, found))
    return {found} if isinstance(found, str) else set()


def revoked(a: Party, b: Party, body: dict[str, Any]) -> None:
    """Take back what was told, so that nothing of it stays alive."""
    assert asked(a, b, "grants/tell", body | {"revision": 2, "revoked": True}).status == 200


@pytest.mark.case("PATH-009")
@pytest.mark.parametrize("what", CALLS)
def test_a_text_in_a_call_is_kept_as_it_is_or_refused_with_a_row(a: Party, b: Party, what: str) -> None:
    call, made = CALLS[what]
    until_quiet(b)
    for kind, text in HOSTILE.items():
        body = made(text)
        before = b.state()
        after = b.last_row()
        answer = asked(a, b, call, body)
        if answer.status == 200:
            if call == "grants/tell":
                assert text in held_texts(b), kind
                revoked(a, b, body)
            else:
                # A question, of which nothing is kept.
                assert (call, answer.json) == ("directory/search-users", {"users": []}), kind
                assert b.state() == before
            continue
        code = answer.json["code"]
        assert (answer.status, code) == (422, "validation_failed") or code in BEFORE.get(what, ()), (kind, answer)
        refused(answer, answer.status, code)
        rows = [row for row in b.denials(after) if row["request_id"] == answer.json["request_id"]]
        assert len(rows) == 1, kind
        assert b.state() == before, kind


@pytest.mark.case("PATH-009")
def test_plain_texts_in_calls_are_taken(a: Party, b: Party) -> None:
    assert asked(a, b, "directory/get-user-by-handle", {"handle": "alice"}).json["handle"] == "alice"
    assert [each["handle"] for each in asked(a, b, "directory/search-users", {"begins": "al"}).json["users"]] in (
        [],
        ["alice"],
    )
    told = a_grant(services=[SERVICE])
    assert asked(a, b, "grants/tell", told).status == 200
    assert {"wiki", "office"} <= held_texts(b)
    revoked(a, b, told)


@pytest.fixture
def names_of_a(federation: Federation) -> Iterator[dict[str, str]]:
    """Users of A with hostile names, as far as A takes them: text by handle."""
    a, made = federation.a, {}
    ids = []
    for number, text in enumerate((*HOSTILE.values(), PLAIN)):
        answer = a.api.post("/users", json={"handle": f"odd-{number}", "display_name": text})
        if answer.is_success:
            made[f"odd-{number}"] = text
            ids.append(answer.json()["id"])
    yield made
    for each in ids:
        a.api.delete(f"/users/{each}").raise_for_status()


@pytest.mark.case("PATH-009")
def test_names_of_a_remotes_people_arrive_as_they_are(a: Party, b: Party, names_of_a: dict[str, str]) -> None:
    assert {PLAIN, HOSTILE["shell"], HOSTILE["SQL"], HOSTILE["templates"], HOSTILE["markup"]} <= {*names_of_a.values()}
    for handle, text in names_of_a.items():
        found = b.lookup(f"{handle}@{a.domain}").raise_for_status().json()
        assert found["display_name"] == text


@pytest.mark.case("PATH-009")
def test_reasons_of_a_remotes_operator_arrive_as_they_are(a: Party, b: Party) -> None:
    with contextlib.ExitStack() as undoing:
        network = a_network(undoing, a, "said")
        proposal = {"remote": b.domain, "network_id": network, "reason": PLAIN}
        bridge = a.api.post("/bridges", json=proposal).raise_for_status().json()["id"]
        wait_until(lambda: b.api.get(f"/bridges/{bridge}").status_code == 200, within=WITHIN, what="the proposal")
        assert shown(b, bridge)["reason_there"] == PLAIN
        until_quiet(a)
        for text in HOSTILE.values():
            if "\n" in text or not text.isprintable():
                with no_state_change(a), one_audit_row(a, "validation_failed"):
                    answer = a.api.post(f"/bridges/{bridge}/revoke", json={"reason": text})
                assert (answer.status_code, answer.json()["code"]) == (422, "validation_failed")
        last = HOSTILE["quotes"] + HOSTILE["templates"]
        a.api.post(f"/bridges/{bridge}/revoke", json={"reason": last}).raise_for_status()
        wait_until(lambda: shown(b, bridge)["state"] == "revoked", within=WITHIN, what="the end of the bridge")
        assert shown(b, bridge)["reason_there"] == last


@pytest.mark.case("PATH-009")
def test_each_line_of_every_log_is_one_record(federation: Federation) -> None:
    for call, made in CALLS.values():
        asked(federation.a, federation.b, call, made(HOSTILE["a line of the log"]))
    for party in (federation.a, federation.b):
        for process in ("server", "federator", "ingress"):
            lines = [line for line in party.site.log_of(process) if line.startswith("{")]
            assert not [each for each in map(json.loads, lines) if each.get("event") == "forged"], (party, process)
            assert not [line for line in party.site.log_of(process) if line.lstrip().startswith(("PostUp", "PreDown"))]
