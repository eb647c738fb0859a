"""How a stranger becomes a remote, at a real ingress: once, if it was invited, and once both operators confirmed."""

import contextlib
import json
import sqlite3
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest

from isthmus.domain.federation.bundle import Bundle
from isthmus.domain.federation.names import BackendDomain, InfraDomain
from isthmus.protocol import invitation as text_of
from isthmus.protocol.bundle import open_first, seal
from isthmus.protocol.federation import CONTENT_DIGEST, IDEMPOTENCY_KEY, ORIGIN, SIGNATURE, SIGNATURE_INPUT
from isthmus.protocol.message_key import MessageKey
from isthmus.protocol.signatures import Message, sign
from lab.organisation import PORT
from lab.waiting import wait_until
from tests.federation.checks import clean_request, no_component_call, no_state_change, one_audit_row, refused
from tests.federation.federation import Federation
from tests.federation.party import Party
from tests.federation.wire import Answer, Credential
from tests.x509.forge import Forged, an_authority

ACCEPT, CONFIRM = "POST /federation/handshake/accept", "POST /federation/handshake/confirm"
GUEST, INFRA = "guest.example", "infra.guest.example"
GUESTS = 50


YESTERDAY = datetime.fromtimestamp(time.time() - 86_400, UTC)
NEXT_YEAR = datetime.fromtimestamp(time.time() + 365 * 86_400, UTC)


@dataclass
class Guest:
    """A backend of which there is nothing but keys: it speaks from the host of C."""

    party: Party
    host: Party
    authority: Forged = field(default_factory=lambda: an_authority("D's CA", starts=YESTERDAY, ends=NEXT_YEAR))
    key: MessageKey = field(default_factory=MessageKey.generate)

    def bundle(self, domain: str = GUEST, signed_by: MessageKey | None = None) -> str:
        named = Bundle(
            BackendDomain(domain),
            1,
            (InfraDomain(f"infra.{domain}"),),
            (self.authority.der,),
            {self.key.id: self.key.public},
            (0,),
        )
        return seal(named, signed_by or self.key)

    @property
    def leaf(self) -> Forged:
        """Its own, by its own CA."""
        return self.host.forged(self.authority, names=(INFRA,), uris=(f"spiffe://{GUEST}/instance/{uuid4()}",))

    def accepts(self, text: str, *, origin: str = GUEST, **changed: Any) -> Answer:
        """The call by which it accepts an invitation, or one that differs in what is given."""
        invitation, _ = text_of.read(text)
        body = {"invitation": invitation.id, "secret": invitation.secret, "bundle": self.bundle()} | changed
        sent = {name: value for name, value in body.items() if value is not None}
        data = self.host.request(self.party, ACCEPT, body=json.dumps(sent).encode(), changed={ORIGIN: origin})
        return self.host.asks(self.party, data, Credential(invitation.chain.encode(), invitation.key.encode()))

    def asks_for_alice(self) -> Answer:
        data = self.host.request(self.party, changed={ORIGIN: GUEST})
        return self.host.asks(self.party, data, self.leaf)

    def confirms(self, code: str) -> Answer:
        body, key = json.dumps({"short_code": code}).encode(), str(uuid4())
        message = Message("POST", CONFIRM.partition(" ")[2], GUEST, "0", key, body)
        signed = sign(message, self.key, now=datetime.now(UTC), nonce=uuid4().hex)
        more = {ORIGIN: GUEST, IDEMPOTENCY_KEY: key}
        more |= {name: signed[name] for name in (CONTENT_DIGEST, SIGNATURE_INPUT, SIGNATURE)}
        return self.host.asks(self.party, self.host.request(self.party, CONFIRM, body=body, changed=more), self.leaf)


@pytest.fixture
def guest(federation: Federation) -> Iterator[Guest]:
    b, c = federation.b, federation.c
    federation.names.publish(GUEST, INFRA, [c.site.host.ipv4], PORT)
    yield Guest(b, c)
    for question in (f"{federation.names.srv(GUEST)} SRV", f"{INFRA} A"):
        federation.names.forget(question)
    b.api.post(f"/remotes/{GUEST}/revoke")
    forget_messages(b)


def invited(party: Party) -> str:
    made = party.api.post("/remotes/invitations", json={"domain": GUEST}).raise_for_status().json()
    return str(made["text"])


def forget_messages(party: Party) -> None:
    """Nobody is there who could take what the guest is to be told, which would be tried again for two days."""
    with contextlib.closing(sqlite3.connect(party.site.database, timeout=10)) as database, database:
        database.execute("DELETE FROM outbox WHERE remote_id IN (SELECT id FROM remotes WHERE domain = ?)", (GUEST,))


def expire(party: Party, text: str) -> None:
    """Nobody waits for a minute: the row is made older, behind the back of the server."""
    invitation, _ = text_of.read(text)
    with contextlib.closing(sqlite3.connect(party.site.database, timeout=10)) as database, database:
        past = int((time.time() - 60) * 1_000_000)
        hex_id = invitation.id.replace("-", "")
        done = database.execute("UPDATE invitations SET expires_at = ? WHERE id = ?", (past, hex_id))
        assert done.rowcount == 1


def is_equal(one: Answer, other: Answer) -> bool:
    """But for what is another one for each request."""
    ids = ("request_id", "instance")
    return {k: v for k, v in one.json.items() if k not in ids} == {k: v for k, v in other.json.items() if k not in ids}


@pytest.mark.case("ADM-002")
def test_an_invitation_makes_one_remote_once_and_both_operators_confirm_it(guest: Guest) -> None:
    b, c = guest.party, guest.host
    open_one, expired = invited(b), invited(b)
    expire(b, expired)
    other = MessageKey.generate()
    forged = ".".join((*guest.bundle().split(".")[:2], guest.bundle(signed_by=guest.key).split(".")[2][::-1]))
    bad: list[tuple[str, str, dict[str, Any]]] = [
        ("invitation.secret", open_one, {"secret": None}),
        ("invitation.secret", open_one, {"secret": "x" * 40}),
        ("invitation.expired", expired, {}),
        ("invitation.domain", open_one, {"origin": c.domain}),
        ("invitation.bundle_domain", open_one, {"bundle": guest.bundle(c.domain)}),
        ("invitation.bundle_signature", open_one, {"bundle": forged}),
        ("invitation.bundle_signature", open_one, {"bundle": guest.bundle(signed_by=other)}),
    ]
    answers = []
    for reason, text, changed in bad:
        with no_state_change(b), one_audit_row(b, reason):
            answers.append(refused(guest.accepts(text, **changed), 401, "invitation_invalid"))
    assert all(is_equal(answers[0], answer) for answer in answers[1:])

    before = b.last_row()
    with ThreadPoolExecutor(GUESTS) as pool:
        crowd = list(pool.map(lambda _: patiently(guest, open_one), range(GUESTS)))
    assert sorted(answer.status for answer in crowd) == [200, *[401] * (GUESTS - 1)]
    assert all(is_equal(answers[0], answer) for answer in crowd if answer.status == 401)
    wait_until(lambda: len(used(b, before)) == GUESTS - 1, within=10, what="a row for each refusal")
    with no_state_change(b), one_audit_row(b, "invitation.used"):
        refused(guest.accepts(open_one), 401, "invitation_invalid")

    remote = b.api.get(f"/remotes/{GUEST}").json()
    assert (remote["state"], remote["confirmed_here"], remote["confirmed_there"]) == ("pending", False, False)
    trusts_guest(guest)
    check_shut(guest)
    wrong = guest.confirms("0000-0000-0000")
    refused(wrong, 422, "validation_failed")
    accepted = next(answer for answer in crowd if answer.status == 200).json
    assert accepted["short_code"] == remote["short_code"]
    assert open_first(accepted["bundle"]).domain == b.domain
    assert guest.confirms(accepted["short_code"]).json["state"] == "pending"
    check_shut(guest)
    confirmed = b.api.post(f"/remotes/{GUEST}/confirm", json={"short_code": remote["short_code"]})
    assert confirmed.raise_for_status().json()["state"] == "active"
    wait_until(lambda: guest.asks_for_alice().status == 200, within=20, what="an answer for the remote")
    clean_request(c, b)


def patiently(guest: Guest, text: str) -> Answer:
    """Strangers are slowed down; each of them gets its answer in the end."""
    for _ in range(60):
        answer = guest.accepts(text)
        if answer.status != 429:
            return answer
        time.sleep(0.5)
    return answer


def used(party: Party, after: int) -> list[Any]:
    return [row for row in party.denials(after) if row["reason"] == "invitation.used"]


def trusts_guest(guest: Guest) -> None:
    """The ingress takes a moment until it trusts another CA."""
    wait_until(lambda: guest.asks_for_alice().json["code"] == "federation_denied", within=20, what="the new anchor")


def check_shut(guest: Guest) -> None:
    with no_state_change(guest.party), no_component_call(guest.party), one_audit_row(guest.party, "not_confirmed"):
        refused(guest.asks_for_alice(), 403, "federation_denied")
