"""Mutations: signed by the origin, over this very request, a moment ago, and once."""

import json
import secrets
from datetime import timedelta
from uuid import uuid4

import pytest

from isthmus.protocol import federation as wire
from isthmus.protocol.message_key import MessageKey
from isthmus.protocol.signatures import Message, sign
from tests.federator.organisations import now
from tests.federator.stage import CONFIRM, Answer, Stage, unchanged

BODY = b'{"short_code": "K7PD-9QXM-3T4W"}'


def send(stage: Stage, headers: dict[str, str], body: bytes = BODY) -> Answer:
    return stage.call(headers, CONFIRM, body)


def signed_at(stage: Stage, late: float) -> dict[str, str]:
    message = Message("POST", CONFIRM, "a.example", "0", "key", BODY)
    when = now() + timedelta(seconds=late)
    signature = sign(message, stage.a.message_key, now=when, nonce=secrets.token_urlsafe(16))
    return {**stage.headers(stage.a), wire.IDEMPOTENCY_KEY: "key", **signature}


def refused(stage: Stage, answer: Answer, status: int, code: str) -> None:
    assert (answer.status, answer.code) == (status, code)
    row = stage.row(answer)
    assert (row.outcome, row.facts["code"]) == ("denied", code)
    assert row.actor == f"remote:a.example/{stage.a.instance}"


@pytest.mark.case("ADM-009")
def test_mutations_carry_a_signature_a_time_and_a_nonce(stage: Stage) -> None:
    good = stage.signed(stage.a, CONFIRM, BODY)
    unsigned = {name: value for name, value in good.items() if name not in (wire.SIGNATURE, wire.SIGNATURE_INPUT)}
    stranger = MessageKey.generate()
    message = Message("POST", CONFIRM, "a.example", "0", good[wire.IDEMPOTENCY_KEY], BODY)
    wrongly = {**good, **sign(message, stranger, now=now(), nonce=secrets.token_urlsafe(16))}
    bent = {**good, wire.SIGNATURE: stage.signed(stage.a, CONFIRM, BODY)[wire.SIGNATURE]}
    with unchanged(stage):
        refused(stage, send(stage, unsigned), 401, "signature_required")
        refused(stage, send(stage, wrongly), 401, "signature_invalid")
        refused(stage, send(stage, bent), 401, "signature_invalid")
        for late in (-62.0, 62.0):
            answer = send(stage, signed_at(stage, late))
            refused(stage, answer, 401, "clock_skew")
            assert answer.problem["server_time"].startswith(f"{now():%Y-%m-%dT}")
        refused(stage, send(stage, stage.signed(stage.a, CONFIRM, BODY), b"{}"), 400, "digest_mismatch")
    for late in (-55.0, 55.0):
        assert send(stage, signed_at(stage, late)).status == 200
    assert send(stage, good).status == 200
    with unchanged(stage):
        refused(stage, send(stage, good), 409, "replay_detected")
    assert send(stage, stage.signed(stage.a, CONFIRM, BODY)).status == 200
    assert stage.calls[-1].context.key_id == stage.a.message_key.id


@pytest.mark.parametrize("name", [wire.IDEMPOTENCY_KEY, wire.ORIGIN, wire.API_VERSION])
def test_what_is_signed_cannot_be_exchanged(stage: Stage, name: str) -> None:
    headers = stage.signed(stage.a, CONFIRM, BODY)
    headers[name] = {wire.IDEMPOTENCY_KEY: str(uuid4()), wire.ORIGIN: "c.example", wire.API_VERSION: "00"}[name]
    with unchanged(stage):
        answer = send(stage, headers)
    codes = {wire.IDEMPOTENCY_KEY: "signature_invalid", wire.ORIGIN: "federation_denied"}
    assert answer.code == codes.get(name, "signature_invalid")


@pytest.mark.parametrize("key", [None, "", "a b", "x" * 129])
def test_a_mutation_needs_an_idempotency_key(stage: Stage, key: str | None) -> None:
    headers = stage.signed(stage.a, CONFIRM, BODY)
    del headers[wire.IDEMPOTENCY_KEY]
    if key is not None:
        headers[wire.IDEMPOTENCY_KEY] = key
    with unchanged(stage):
        refused(stage, send(stage, headers), 400, "idempotency_key_required")


def test_without_the_memory_for_nonces_no_mutation_passes(own: Stage) -> None:
    own.start()
    good = own.signed(own.a, CONFIRM, BODY)
    own.around.background.run(own.around.server.stop())
    with unchanged(own):
        answer = send(own, good)
    assert (answer.status, answer.code) == (503, "overloaded")
    assert json.loads(answer.body)["retry_after"] >= 1
    # What only reads goes on.
    assert own.ask(own.a).status == 200
    own.around.background.run(own.around.server.start(own.places.control))
    assert send(own, own.signed(own.a, CONFIRM, BODY)).status == 200
    assert own.row(answer).reason == "nonces_unavailable"
