"""The steps of the seed on the receiving side: from the claimed domain by DNS to the certificate, and the list."""

import time

import pytest

from tests.federator.organisations import Organisation
from tests.federator.stage import Answer, Stage, unchanged

SRV = "_isthmus-federator._tcp.a.example SRV"


def denied(stage: Stage, answer: Answer, code: str, reason: str) -> None:
    assert (answer.status, answer.code) == (403, code)
    row = stage.row(answer)
    assert (row.outcome, row.reason) == ("denied", reason)


@pytest.mark.case("SEED-025")
def test_the_claimed_domain_is_mapped_to_infra_domains(own: Stage) -> None:
    own.start()
    # DNS takes its time, so that what comes first can be told.
    own.around.say(SRV, f"60 SRV 0 0 8443 {own.a.infra}.", delay=0.3)
    assert own.around.names.asked(SRV) == 0
    began = time.monotonic()
    assert own.ask(own.a).status == 200
    assert time.monotonic() - began >= 0.3
    assert (own.around.names.asked(SRV), len(own.calls)) == (1, 1)
    # Without a record, and nothing remembered.
    own.publish(own.c)
    with unchanged(own):
        denied(own, own.ask(own.c), "infra_domain_mismatch", "infra_domain_mismatch")


@pytest.mark.case("SEED-026")
def test_a_discovered_infra_domain_must_be_in_the_certificate(stage: Stage) -> None:
    a = stage.a
    d = Organisation("d")
    names = ("infra1.d.example", "infra2.d.example")
    stage.publish(d, *names)
    stage.relist(a.entry(), d.entry(infra_domains=list(names)))
    three = d.a_leaf(names=("x.d.example", "infra2.d.example", "y.d.example"))
    answer = stage.call(stage.headers(d, three))
    assert answer.status == 200
    assert stage.calls[-1].context.infra_domain == "infra2.d.example"
    assert '"infra_domain": "infra2.d.example"' in stage.federator.log
    other = d.a_leaf(names=("other.d.example",))
    with unchanged(stage):
        denied(stage, stage.call(stage.headers(d, other)), "infra_domain_mismatch", "infra_domain_mismatch")


@pytest.mark.case("SEED-027")
def test_the_origin_must_be_on_the_allow_list(stage: Stage) -> None:
    e = Organisation("e")
    stage.publish(e, e.infra)
    with unchanged(stage):
        denied(stage, stage.ask(e), "federation_denied", "not_listed")
    # Nothing but the list is between it and its answer.
    stage.relist(stage.a.entry(), e.entry())
    assert stage.ask(e).status == 200


@pytest.mark.case("SEED-038")
def test_dns_is_asked_about_the_origin_once_in_the_life_of_an_answer(own: Stage) -> None:
    own.start()
    assert [own.ask(own.a).status for _ in range(2)] == [200, 200]
    stranger = Organisation("s")
    denied(own, own.ask(stranger), "federation_denied", "not_listed")
    assert own.around.names.asked(SRV) == 1
    assert own.around.names.asked("_isthmus-federator._tcp.s.example SRV") == 0
    assert len(own.around.names.questions) == 1


@pytest.mark.case("SEED-041")
def test_only_a_matching_infra_domain_and_a_listed_domain_reach_the_component(stage: Stage) -> None:
    right, wrong = Organisation("f"), Organisation("g")
    stage.publish(right, right.infra)
    stage.publish(wrong, "elsewhere.g.example")
    both = [right.entry(), wrong.entry(infra_domains=[wrong.infra, "elsewhere.g.example"])]
    with unchanged(stage):
        denied(stage, stage.ask(right), "federation_denied", "not_listed")
        denied(stage, stage.ask(wrong), "federation_denied", "not_listed")
        stage.relist(*both)
        denied(stage, stage.ask(wrong), "infra_domain_mismatch", "infra_domain_mismatch")
    assert stage.ask(right).status == 200
    assert len(stage.calls) == 1
