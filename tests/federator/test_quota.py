"""What a remote may use up, and that nobody uses up what is another's."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from isthmus.protocol.federator import Limits, Row
from lab.waiting import wait_until
from tests.federator.organisations import PLENTY, Organisation
from tests.federator.stage import CONFIRM, Answer, Stage, unchanged

REQUESTS = Limits(0.5, 3, 1000, 1000, 100)
MUTATIONS = Limits(1000, 1000, 0.5, 2, 100)
PARALLEL = Limits(1000, 1000, 1000, 1000, 2)


def limited(stage: Stage, answer: Answer, bucket: str) -> None:
    assert (answer.status, answer.code) == (429, "rate_limited")
    assert answer.problem["bucket"] == bucket
    assert answer.headers["Retry-After"] == str(answer.problem["retry_after"])
    assert 1 <= answer.problem["retry_after"] <= 10
    row = stage.row(answer)
    assert (row.reason, row.facts["bucket"], row.left_out) == ("rate_limited", bucket, 0)
    assert row.actor == f"remote:a.example/{stage.a.instance}"


def mutate(stage: Stage) -> Answer:
    return stage.call(stage.signed(stage.a, CONFIRM, b"{}"), CONFIRM, b"{}")


@pytest.mark.case("ADM-008")
def test_the_quota_is_charged_after_admission_and_to_the_proven_remote(stage: Stage) -> None:
    stage.relist(stage.a.entry(limits=REQUESTS), stage.c.entry())
    before = stage.settled()
    with unchanged(stage):
        answers = hammered(stage, 400)
    assert {(answer.status, answer.code) for answer in answers} == {(403, "federation_denied")}
    # Every one of them is in the log, some in a row of their own and the others counted.
    counted = wait_until(
        lambda: denials(stage, before) if denials(stage, before) >= 400 else 0, within=10, what="the counters"
    )
    assert counted == 400
    # A has all of its burst left.
    assert [stage.ask(stage.a).status for _ in range(3)] == [200, 200, 200]
    with unchanged(stage):
        limited(stage, stage.ask(stage.a), "requests")
    # C under its own name is as free as before.
    assert stage.ask(stage.c).status == 200


def hammered(stage: Stage, times: int) -> list[Answer]:
    """C claims to be A, from several connections at once."""
    headers = stage.headers(stage.a, stage.c.leaf)
    with ThreadPoolExecutor(4) as pool:
        return list(pool.map(lambda _: stage.call(headers), range(times)))


def denials(stage: Stage, before: dict[str, Row]) -> int:
    new = [row for id_, row in list(stage.around.server.rows.items()) if id_ not in before]
    return sum(row.left_out or 1 for row in new if row.reason == "chain.other_remote")


def test_mutations_have_a_bucket_of_their_own(stage: Stage) -> None:
    stage.relist(stage.a.entry(limits=MUTATIONS), stage.c.entry())
    assert [mutate(stage).status for _ in range(2)] == [200, 200]
    with unchanged(stage):
        limited(stage, mutate(stage), "mutations")
    assert stage.ask(stage.a).status == 200


def test_only_so_many_requests_of_a_remote_run_at_a_time(stage: Stage) -> None:
    stage.relist(stage.a.entry(limits=PARALLEL), stage.c.entry())
    component = stage.around.components["directory"]
    component.delay = 1.5
    with ThreadPoolExecutor(2) as pool:
        running = [pool.submit(stage.ask, stage.a) for _ in range(2)]
        wait_until(lambda: len(component.calls) == 2, within=10, what="two calls")
        answer = stage.ask(stage.a)
        limited(stage, answer, "parallel")
        other = threading.Thread(target=stage.ask, args=(stage.c,))
        other.start()
        assert [each.result(20).status for each in running] == [200, 200]
        other.join(20)
    component.delay = 0.0
    assert stage.ask(stage.a).status == 200


def test_other_limits_hold_at_once_and_an_entry_made_anew_starts_afresh(stage: Stage) -> None:
    stage.relist(stage.a.entry(limits=REQUESTS, generation=8), stage.c.entry())
    while stage.ask(stage.a).status == 200:
        pass
    stage.relist(stage.a.entry(limits=PLENTY, generation=8), stage.c.entry())
    assert stage.ask(stage.a).status == 200
    stage.relist(stage.a.entry(limits=REQUESTS, generation=9), stage.c.entry())
    assert stage.ask(stage.a).status == 200


def test_whoever_is_not_proven_makes_us_work_at_a_bounded_rate(stage: Stage) -> None:
    stage.relist(stage.a.entry(), stage.c.entry(), stranger_limits=Limits(1, 3, 1, 1, 1))
    with unchanged(stage):
        reasons = [stage.row(stage.call(stage.headers(stage.a, stage.c.a_leaf()))).reason for _ in range(6)]
    assert "chain.other_remote" in reasons
    assert reasons[-1] == "stranger_limit"
    # Somebody whose leaf is known already is not in their way.
    stage.relist(stage.a.entry(), stage.c.entry())
    assert stage.ask(stage.a).status == 200
    stage.relist(stage.a.entry(), stage.c.entry(), stranger_limits=Limits(0.1, 1, 1, 1, 1))
    assert stage.ask(stage.a).status == 200


def refused_call(stage: Stage, party: Organisation) -> Answer:
    """A call that is refused to whoever makes it."""
    return stage.ask(party, Isthmus_Api_Version="999")


def test_a_remote_that_is_refused_again_and_again_is_limited_and_reported_and_no_other_one(stage: Stage) -> None:
    # The twin: as many refusals, each once there is room for it again. A tenth of what is asked may be refused.
    stage.relist(stage.a.entry(limits=Limits(200, 10, 1000, 1000, 100)), stage.c.entry())
    for _ in range(30):
        assert refused_call(stage, stage.a).code == "unsupported_version"
        time.sleep(0.06)
    assert stage.ask(stage.a).status == 200
    stage.settled()
    assert stage.suspicions("remote_misbehaves") == []

    stage.relist(stage.a.entry(limits=Limits(5, 10, 1000, 1000, 100)), stage.c.entry())
    with unchanged(stage):
        answer = refused_call(stage, stage.a)
        for _ in range(100):
            if answer.problem.get("bucket") == "refusals":
                break
            time.sleep(0.1)
            answer = refused_call(stage, stage.a)
        limited(stage, answer, "refusals")
        # A call that is clean waits as well, until that calms down.
        assert stage.ask(stage.a).code == "rate_limited"
    (suspicion,) = {each.domain: each for each in stage.suspicions("remote_misbehaves")}.values()
    assert suspicion.domain == stage.a.domain
    assert suspicion.evidence["refused"]["unsupported_version"] >= 10
    assert suspicion.evidence["instance"] == str(stage.a.instance)
    assert stage.ask(stage.c).status == 200
    # How both sides stand is told all the same, as soon as there is room for any request.
    beat = "/federation/heartbeat/get-versions"
    wait_until(lambda: stage.ask(stage.a, beat).status == 200, within=10, what="a heartbeat to come through")
    wait_until(lambda: stage.ask(stage.a).status == 200, within=60, what="A to be let in again")
