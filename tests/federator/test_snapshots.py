"""By which snapshot a request is decided: one for all of it, the newest at its beginning, none that is too old."""

import json
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from lab.waiting import wait_until
from tests.federator.organisations import Organisation
from tests.federator.stage import Answer, Stage, unchanged

SRV = "_isthmus-federator._tcp.a.example SRV"


@pytest.mark.case("ADM-006")
def test_a_request_is_decided_by_the_snapshot_that_it_began_with(own: Stage) -> None:
    """It is held by DNS, between the gate and the forwarding."""
    own.start()
    d = Organisation("d")
    with ThreadPoolExecutor(1) as pool:
        own.around.say(SRV, f"60 SRV 0 0 8443 {own.a.infra}.", delay=0.7)
        first = own.generation
        removed = pool.submit(own.ask, own.a)
        wait_until(lambda: own.around.names.asked(SRV), within=10, what="the request to be held")
        second = own.relist(own.c.entry())
        answer = removed.result(20)
        assert answer.status == 200
        assert own.calls[-1].context.snapshot == first
        # It changed nothing, so the line in the log takes the place of the row (decision 0039).
        (line,) = [line for line in own.federator.log.splitlines() if answer.request_id in line]
        assert json.loads(line)["snapshot"] == first
        with unchanged(own):
            denied(own, own.ask(own.a), "not_listed", second)

        # And the other way round: what comes too late for a request does not help it.
        own.publish(d, d.infra)
        own.around.say(SRV, f"60 SRV 0 0 8443 {own.a.infra}.")
        third = own.relist(own.a.entry(infra_domains=["x.a.example"]), own.c.entry())
        own.around.components["directory"].delay = 0.0
        with unchanged(own):
            denied(own, own.ask(d), "not_listed", third)
        fourth = own.relist(own.a.entry(), d.entry())
        later = own.ask(d)
        assert later.status == 200
        assert own.calls[-1].context.snapshot == fourth


def test_what_is_added_meanwhile_does_not_help_a_request_that_has_begun(own: Stage) -> None:
    own.start()
    own.relist(own.a.entry(infra_domains=["x.a.example"]), own.c.entry())
    own.around.say(SRV, f"60 SRV 0 0 8443 {own.a.infra}.", delay=0.7)
    first = own.generation
    with ThreadPoolExecutor(1) as pool:
        held = pool.submit(own.ask, own.a)
        wait_until(lambda: own.around.names.asked(SRV), within=10, what="the request to be held")
        own.relist(own.a.entry(), own.c.entry())
        with unchanged(own):
            denied(own, held.result(20), "infra_unpinned", first)
    assert own.ask(own.a).status == 200


def denied(stage: Stage, answer: Answer, reason: str, generation: int) -> None:
    assert (answer.status, answer.code) == (403, "federation_denied")
    row = stage.row(answer)
    assert (row.reason, row.facts["snapshot"]) == (reason, generation)


def test_a_revocation_reaches_the_decision_within_a_tenth_of_a_second(stage: Stage) -> None:
    """Measured over several changes, of which the quicker half counts: the machine has other work."""
    taken = []
    with stage.connection() as connection:
        connection.connect()
        for _ in range(9):
            stage.relist(stage.a.entry(), stage.c.entry())
            assert stage.ask(stage.a).status == 200
            stage.show(stage.a.entry(state="revoked"), stage.c.entry())
            began = time.monotonic()
            while stage.ask(stage.a).status == 200:
                pass
            taken.append(time.monotonic() - began)
    assert sorted(taken)[len(taken) // 2] < 0.1


def test_without_a_snapshot_nothing_is_decided(own: Stage) -> None:
    own.start()
    own.around.background.run(own.around.server.stop())
    own.federator.stop()
    own.federator.start()
    with unchanged(own):
        overloaded(own.ask(own.a))
    code, health = own.federator.ask("/health/ready")
    assert code == 503
    assert "no snapshot yet" in health["parts"]["snapshot"]
    own.around.background.run(own.around.server.start(own.places.control))
    wait_until(lambda: own.ask(own.a).status == 200, within=10, what="the snapshot")


def overloaded(answer: Answer) -> None:
    assert (answer.status, answer.code) == (503, "overloaded")
    assert int(answer.headers["Retry-After"]) >= 1


@pytest.mark.case("ADM-012")
def test_a_snapshot_serves_for_its_life_and_no_longer(own: Stage) -> None:
    own.settings["snapshot_seconds"] = "6"
    own.start()
    own.relist(own.a.entry(authorities=[]), own.c.entry())
    with unchanged(own):
        answer = own.ask(own.a)
        assert (answer.status, answer.code) == (403, "federation_denied")
        assert own.row(answer).reason == "chain.no_authorities"
    own.relist(own.a.entry(), own.c.entry())
    assert own.ask(own.a).status == 200
    own.around.background.run(own.around.server.stop())
    gone = time.monotonic()
    while time.monotonic() - gone < 3:
        assert own.ask(own.a).status == 200
        time.sleep(0.1)
    refused = wait_until(lambda: refusal(own), within=20, what="the snapshot to be too old")
    assert refused is not None
    overloaded(refused)
    with unchanged(own):
        overloaded(own.ask(own.a))
    assert own.federator.ask("/health/live")[0] == 200
    own.around.background.run(own.around.server.start(own.places.control))
    # What was refused meanwhile is told now.
    row = own.row(refused)
    assert (row.outcome, row.reason) == ("denied", "no_snapshot")
    wait_until(lambda: own.ask(own.a).status == 200, within=10, what="the snapshot")


def refusal(stage: Stage) -> Answer | None:
    answer = stage.ask(stage.a)
    time.sleep(0.2)
    return answer if answer.status != 200 else None


def test_a_server_that_counts_anew_is_followed(own: Stage) -> None:
    own.settings["snapshot_seconds"] = "4"
    own.start()
    for _ in range(3):
        own.relist(own.a.entry())
    own.around.background.run(own.around.server.stop())
    own.around.server.snapshot = None
    own.around.background.run(own.around.server.start(own.places.control))
    own.show(own.c.entry())
    assert own.generation == 1
    wait_until(lambda: own.ask(own.a).status == 403, within=20, what="the new list")
    assert own.ask(own.c).status == 200


def test_a_snapshot_that_cannot_be_read_changes_nothing(own: Stage) -> None:
    own.start()
    own.show(own.a.entry(authorities=["%%%"]))
    wait_until(lambda: "no snapshot from the server" in own.federator.log, within=10, what="the complaint")
    assert own.ask(own.a).status == 200
    own.relist(own.c.entry())
    assert own.ask(own.a).status == 403
