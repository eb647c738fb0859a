"""How two backends that know nothing of each other come to federate: invitation, acceptance, confirmations."""

import asyncio
import base64
from dataclasses import replace
from datetime import timedelta
from uuid import UUID, uuid4

import httpx2
import msgspec
import pytest

from isthmus.domain.errors import InvalidValue, Refusal, TransitionNotAllowed
from isthmus.domain.federation.bundle import Bundle
from isthmus.domain.federation.names import BackendDomain, InfraDomain
from isthmus.domain.federation.remote import State, Strategy
from isthmus.protocol import handshake as wire
from isthmus.protocol import invitation as text_of
from isthmus.protocol.bundle import open_first, seal
from isthmus.protocol.message_key import MessageKey
from isthmus.server.application.federation_facts import NoFederation, Update
from isthmus.server.application.invitations import Invited
from isthmus.server.outward_ports import Errand, RemoteRefused
from isthmus.server.ports import Store
from isthmus.server.records import Outcome
from isthmus.x509.authority import make_authority
from tests.application.backend import ADA, BOTH_DATABASES
from tests.application.pair import Side, federated, introduced
from tests.builders import NOON

A, B, C = (BackendDomain(f"{name}.example") for name in "abc")
Pair = tuple[Side, Side]


def bundle_of(domain: str, key: MessageKey | None = None) -> str:
    """A good bundle of a backend that there is none of."""
    key = key or MessageKey.generate()
    infra = (InfraDomain(f"infra.{domain}"),)
    authorities = make_authority(domain, NOON).certificates
    return seal(Bundle(BackendDomain(domain), 1, infra, authorities, {key.id: key.public}, (0,)), key)


async def presented(side: Side, made: Invited, **changes: object) -> httpx2.Response:
    """`side` gets an acceptance of its invitation as B would send it, but for `changes`."""
    invitation, _ = text_of.read(made.text)
    fields = {"invitation": invitation.id, "secret": invitation.secret, "bundle": bundle_of(made.invitation.domain)}
    body = wire.Accept(**(fields | {name: value for name, value in changes.items() if name in fields}))  # type: ignore[arg-type]
    errand = Errand(side.domain, "handshake", "accept", str(uuid4()))
    leaf = str(changes.get("leaf", invitation.id))
    context = side.context(errand, body, origin=changes.get("origin", made.invitation.domain), invitation=leaf)
    return await side.answer(context, body, None)


@BOTH_DATABASES
async def test_two_backends_are_federated_once_both_operators_have_confirmed_one_code(pair: Pair) -> None:
    a, b = pair
    await introduced(a, b)
    ours, theirs = await a.remote(B), await b.remote(A)
    assert ours.short_code == theirs.short_code != ""
    assert (ours.state, theirs.state) == (State.PENDING, State.PENDING)
    assert ours.authorities == open_first(sent_bundle(a)).authorities
    assert ours.infra_domains == ("infra.b.example",)

    await a.services.remotes.confirm(ADA, B, ours.short_code)
    await a.work()
    assert await b.state(A) is State.PENDING
    assert (await b.remote(A)).confirmed_there
    after = await b.services.remotes.confirm(ADA, A, theirs.short_code.lower().replace("-", " "))
    assert after.state is State.ACTIVE
    assert await a.state(B) is State.PENDING
    await b.work()
    assert (await a.state(B), await b.state(A)) == (State.ACTIVE, State.ACTIVE)
    assert await a.actions() == [
        "federation.init",
        "invitation.create",
        "invitation.accept",
        "remote.confirm",
        "remote.confirm",
    ]
    assert await b.actions() == [
        "federation.init",
        "remote.accept",
        "remote.accepted",
        "remote.confirm",
        "remote.confirm",
    ]
    actors = [row.actor for row in await a.audit() if row.action == "remote.confirm"]
    assert actors == ["user:ada", "remote:b.example/3f2504e0-4f89-41d3-9a0c-0305e82c3301"]


def sent_bundle(side: Side) -> str:
    """The bundle with which the one acceptance was sent."""
    (body,) = side.wire.calls("accept")
    return str(body.bundle)


BAD = {
    "the secret of nothing": {"secret": "x" * 40},
    "a secret that is not ASCII": {"secret": "é" * 40},
    "no secret": {"secret": ""},
    "an id that is none": {"invitation": "nothing", "leaf": "nothing"},
    "an id that is unknown": {"invitation": str(UUID(int=404)), "leaf": str(UUID(int=404))},
    "the leaf of another invitation": {"leaf": str(UUID(int=405))},
    "another domain": {"origin": "c.example"},
    "another domain's bundle": {"bundle": bundle_of("c.example")},
    "no bundle": {"bundle": "x.y.z"},
    "a bundle signed by another key": {
        "bundle": ".".join((*bundle_of("b.example").split(".")[:2], bundle_of("b.example").split(".")[2]))
    },
}


@pytest.mark.parametrize("name", BAD)
async def test_every_bad_acceptance_gets_the_same_answer_and_one_row_and_changes_nothing(pair: Pair, name: str) -> None:
    a, _ = pair
    made = await a.services.invitations.invite(ADA, B)
    before = len(await a.audit())
    plain = await presented(a, made, secret="y" * 40)
    answer = await presented(a, made, **BAD[name])
    assert answer.status_code == 401
    assert blank(answer) == blank(plain)
    assert answer.json()["code"] == "invitation_invalid"
    rows = (await a.audit())[before:]
    assert [(row.outcome, row.actor) for row in rows] == [(Outcome.DENIED, "anyone")] * 2
    assert all(row.reason is not None and row.reason.startswith("invitation.") for row in rows)
    assert await a.state(B) is None
    assert (await presented(a, made)).status_code == 200


def blank(answer: httpx2.Response) -> dict[str, object]:
    """A problem without what is another one for each request."""
    return {name: value for name, value in answer.json().items() if name not in ("request_id", "instance")}


async def test_an_invitation_that_expired_was_withdrawn_or_used_is_answered_like_any_bad_one(pair: Pair) -> None:
    a, _ = pair
    expired = await a.services.invitations.invite(ADA, B, timedelta(minutes=1))
    a.clock.turn(timedelta(minutes=1))
    withdrawn = await a.services.invitations.invite(ADA, B)
    await a.services.invitations.withdraw(ADA, withdrawn.invitation.id)
    with pytest.raises(TransitionNotAllowed):
        await a.services.invitations.withdraw(ADA, withdrawn.invitation.id)
    used = await a.services.invitations.invite(ADA, B)
    assert (await presented(a, used)).status_code == 200
    answers = [await presented(a, each) for each in (expired, withdrawn, used)]
    assert [answer.status_code for answer in answers] == [401] * 3
    assert blank(answers[0]) == blank(answers[1]) == blank(answers[2])
    reasons = [row.reason for row in await a.audit() if row.outcome is Outcome.DENIED]
    assert reasons == ["invitation.expired", "invitation.withdrawn", "invitation.used"]


@BOTH_DATABASES
async def test_of_fifty_at_once_one_accepts(pair: Pair) -> None:
    a, _ = pair
    made = await a.services.invitations.invite(ADA, B)
    answers = await asyncio.gather(*(presented(a, made) for _ in range(50)))
    assert sorted(answer.status_code for answer in answers) == [200, *[401] * 49]
    assert (await a.remote(B)).generation == 1
    assert len([row for row in await a.audit() if row.outcome is Outcome.DENIED]) == 49


async def test_no_call_but_those_of_the_handshake_passes_before_both_have_confirmed(pair: Pair) -> None:
    a, b = pair
    await introduced(a, b)
    await b.services.remotes.confirm(ADA, A, (await b.remote(A)).short_code)
    await b.work()
    from isthmus.protocol.directory import GetUser

    body = GetUser("alice")
    errand = Errand("a.example", "directory", "get-user-by-handle", str(uuid4()))
    context = a.context(errand, body, remote=B, origin=B, generation=1)
    assert (await a.answer(context, body, None)).status_code == 403
    await a.services.remotes.confirm(ADA, B, (await a.remote(B)).short_code)
    context = a.context(errand, body, remote=B, origin=B, generation=1)
    assert (await a.answer(context, body, None)).status_code == 404


async def test_a_wrong_code_confirms_nothing_on_either_side(pair: Pair) -> None:
    a, b = pair
    await introduced(a, b)
    for wrong in ("", "0000-0000-0000", "K7PD"):
        with pytest.raises(InvalidValue, match="not the short code"):
            await a.services.remotes.confirm(ADA, B, wrong)
    body = wire.Confirm("0000-0000-0000")
    errand = Errand("a.example", "handshake", "confirm", str(uuid4()))
    context = a.context(errand, body, remote=B, origin=B, generation=1)
    answer = await a.answer(context, body, "key-1")
    assert (answer.status_code, answer.json()["code"]) == (422, "validation_failed")
    remote = await a.remote(B)
    assert (remote.confirmed_here, remote.confirmed_there) == (False, False)


async def test_an_acceptance_waits_while_the_other_side_is_down_and_is_told_later(pair: Pair) -> None:
    a, b = pair
    made = await a.services.invitations.invite(ADA, B)
    a.wire.down.add("a.example")
    done = await b.services.invitations.accept(ADA, made.text)
    assert done.problem is not None
    assert done.problem.code == "remote_refused"
    code = done.remote.short_code
    with pytest.raises(TransitionNotAllowed, match="not answered"):
        await b.services.remotes.confirm(ADA, A, code)
    assert await a.state(B) is None
    assert (await b.snapshot()).entries[0].credential is not None
    a.wire.down.clear()
    await b.work()
    assert (await a.remote(B)).short_code == code
    assert (await b.snapshot()).entries[0].credential is None
    await b.services.remotes.confirm(ADA, A, code)


async def test_an_acceptance_whose_answer_was_lost_has_happened(pair: Pair) -> None:
    a, b = pair
    made = await a.services.invitations.invite(ADA, B)
    a.wire.lost = lambda errand: errand.rpc == "accept"
    done = await b.services.invitations.accept(ADA, made.text)
    assert done.problem is not None
    assert await a.state(B) is State.PENDING
    a.wire.lost = lambda errand: False
    await b.work()
    assert await b.state(A) is State.PENDING
    assert (await b.services.remotes.details(A)).acceptance is None
    await b.services.remotes.confirm(ADA, A, (await a.remote(B)).short_code)


async def test_an_acceptance_that_is_just_being_told_is_not_told_once_more_beside_it(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    a, b = pair
    made = await a.services.invitations.invite(ADA, B)
    under_way, go_on, carry = asyncio.Event(), asyncio.Event(), b.wire.carry

    async def held_up(origin: Side, errand: Errand, body: msgspec.Struct) -> bytes:
        under_way.set()
        await go_on.wait()
        return await carry(origin, errand, body)

    monkeypatch.setattr(b.wire, "carry", held_up)
    accepting = asyncio.create_task(b.services.invitations.accept(ADA, made.text))
    await under_way.wait()
    await b.services.invitations.work()
    go_on.set()
    assert (await accepting).problem is None
    assert len(b.wire.calls("accept")) == 1
    assert await b.state(A) is State.PENDING


async def test_an_acceptance_that_the_other_side_refuses_leaves_no_live_entry(pair: Pair) -> None:
    a, b = pair
    made = await a.services.invitations.invite(ADA, B)
    await a.services.invitations.withdraw(ADA, made.invitation.id)
    with pytest.raises(RemoteRefused) as refusal:
        await b.services.invitations.accept(ADA, made.text)
    assert refusal.value.problem.remote.code == "invitation_invalid"  # type: ignore[union-attr]
    assert await b.state(A) is State.REVOKED
    await introduced(a, b)
    assert (await b.remote(A)).generation == 2


async def test_a_code_that_differs_ends_the_acceptance(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    a, b = pair
    made = await a.services.invitations.invite(ADA, B)
    monkeypatch.setattr("isthmus.server.application.handshake.short_code", lambda *_: "0000-0000-0000")
    with pytest.raises(TransitionNotAllowed, match="another short code"):
        await b.services.invitations.accept(ADA, made.text)
    assert await b.state(A) is State.REVOKED


async def test_what_is_no_invitation_for_us_is_refused_before_anybody_is_called(pair: Pair) -> None:
    a, b = pair
    made = await a.services.invitations.invite(ADA, B)
    for_c = await a.services.invitations.invite(ADA, C)
    invitation, _ = text_of.read(made.text)
    damaged = made.text.replace(made.text.splitlines()[3], made.text.splitlines()[3][::-1])
    other = msgspec.structs.replace(invitation, bundle=bundle_of("a.example"))
    renamed = msgspec.structs.replace(invitation, infra_domains=["infra.c.example"])
    for text, problem in (
        ("", "is no invitation"),
        (made.text[:300], "is no invitation"),
        (f"{text_of.BEGIN}\n{base64.b64encode(b'{}').decode()}\n{text_of.END}", "is damaged"),
        (damaged, "damaged|does not count"),
        (text_of.write(other), "different things"),
        (text_of.write(renamed), "different things"),
        (for_c.text, "is for c.example"),
    ):
        with pytest.raises(InvalidValue, match=problem):
            await b.services.invitations.accept(ADA, text)
    with pytest.raises(InvalidValue, match="itself"):
        await a.services.invitations.accept(ADA, made.text)
    b.clock.turn(timedelta(days=2))
    with pytest.raises(InvalidValue, match="expired"):
        await b.services.invitations.accept(ADA, made.text)
    assert b.wire.carried == []
    assert await b.state(A) is None


async def test_the_text_may_stand_among_other_words(pair: Pair) -> None:
    a, b = pair
    made = await a.services.invitations.invite(ADA, B)
    quoted = "Hello,\r\n\r\n" + made.text.replace("\n", "\r\n  ") + "\r\nYours"
    assert (await b.services.invitations.accept(ADA, quoted)).problem is None


async def test_nobody_is_invited_twice_and_not_oneself(pair: Pair) -> None:
    a, b = pair
    await federated(a, b)
    with pytest.raises(TransitionNotAllowed, match="there already"):
        await a.services.invitations.invite(ADA, B)
    with pytest.raises(InvalidValue, match="itself"):
        await a.services.invitations.invite(ADA, A)
    for wrong in ("b", "B.example", "10.0.0.1", "b.example."):
        with pytest.raises(InvalidValue):
            await a.services.invitations.invite(ADA, wrong)
    for lifetime in (timedelta(seconds=59), timedelta(hours=25)):
        with pytest.raises(InvalidValue):
            await a.services.invitations.invite(ADA, C, lifetime)


async def test_a_second_invitation_for_a_domain_that_has_accepted_one_makes_no_second_remote(pair: Pair) -> None:
    a, _ = pair
    one, two = [await a.services.invitations.invite(ADA, B) for _ in range(2)]
    assert (await presented(a, one)).status_code == 200
    assert (await presented(a, two)).status_code == 401
    assert [row.reason for row in await a.audit() if row.outcome is Outcome.DENIED] == ["invitation.remote_exists"]


async def test_with_the_strategy_none_nobody_is_invited(pair: Pair) -> None:
    a, b = pair
    made = await a.services.invitations.invite(ADA, B)
    await b.services.facts.update(ADA, Update(strategy=Strategy.NONE), None)
    with pytest.raises(TransitionNotAllowed, match="strategy is none"):
        await b.services.invitations.accept(ADA, made.text)


async def test_before_federation_is_set_up_nobody_can_be_met(store: Store, tmp_path: object, pair: Pair) -> None:
    a, b = pair
    made = await a.services.invitations.invite(ADA, B)
    from pathlib import Path

    from isthmus.server.adapters.db import open_store

    bare = await open_store(f"sqlite:///{Path(str(tmp_path)) / 'bare.db'}")
    side = Side("c.example", bare, Path(str(tmp_path)) / "c", a.wire)
    for attempt in (
        side.services.facts.get(),
        side.services.invitations.invite(ADA, A),
        side.services.invitations.accept(ADA, made.text),
    ):
        with pytest.raises(NoFederation) as refusal:
            await attempt
        assert "isthmus federation init" in str(refusal.value.mend)
    with pytest.raises(Refusal):
        await side.services.facts.update(ADA, Update(strategy=Strategy.ALL), None)
    await bare.close()
    assert await b.state(C) is None


async def test_no_secret_is_in_the_store_or_the_audit_log(pair: Pair) -> None:
    a, b = pair
    made = await a.services.invitations.invite(ADA, B)
    invitation, _ = text_of.read(made.text)
    a.wire.down.add("a.example")
    await b.services.invitations.accept(ADA, made.text)
    assert invitation.secret not in repr(invitation)
    assert "PRIVATE" not in repr(invitation)
    for side in (a, b):
        for row in await side.audit():
            assert invitation.secret not in repr(row)
            assert "PRIVATE" not in repr(row)
    async with b.store.reading() as tx:
        (acceptance,) = await tx.remotes.acceptances()
    assert invitation.secret.encode() not in acceptance.sealed_secret
    assert b"PRIVATE" not in acceptance.sealed_key
    assert replace(acceptance) == acceptance
