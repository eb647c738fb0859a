"""When the clock of the machine jumps, mutations wait and everything else goes on as it was."""

import http.client
import json
from datetime import datetime
from pathlib import Path

import pytest

from lab.clock import Clock
from lab.waiting import wait_until
from tests.federator.organisations import now
from tests.federator.stage import BODY, CONFIRM, LOOKUP, Answer, Stage, UnixConnection, unchanged

CODE = b'{"short_code": "K7PD-9QXM-3T4W"}'
MINUTES, DAY = 120.0, 86_400.0
MEANWHILE = 2.0


@pytest.fixture
def clock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Clock:
    """That of the Federator, whose environment is ours."""
    made = Clock(tmp_path / "clock")
    for name, value in made.environment.items():
        monkeypatch.setenv(name, value)
    return made


def confirm(stage: Stage) -> Answer:
    return stage.call(stage.signed(stage.a, CONFIRM, CODE), CONFIRM, CODE)


def untrusted(stage: Stage, answer: Answer) -> None:
    assert (answer.status, answer.code) == (503, "clock_untrusted")
    assert answer.problem["retryable"]
    # The time that it goes by is the right one still.
    assert abs((datetime.fromisoformat(answer.problem["server_time"]) - now()).total_seconds()) < 10
    row = stage.row(answer)
    assert (row.outcome, row.reason, row.facts["code"]) == ("denied", "clock.jump", "clock_untrusted")
    assert row.actor == f"remote:a.example/{stage.a.instance}"
    assert abs(row.at - now().timestamp()) < 10


def split(stage: Stage, headers: dict[str, str], path: str, body: bytes) -> tuple[UnixConnection, bytes]:
    """A request whose body has not come yet."""
    connection = UnixConnection(stage.places.inward)
    connection.putrequest("POST", path)
    for name, value in headers.items():
        connection.putheader(name, value)
    connection.putheader("Content-Length", str(len(body)))
    connection.endheaders()
    return connection, body


def ended(begun: tuple[UnixConnection, bytes]) -> Answer:
    connection, body = begun
    connection.send(body)
    answer: http.client.HTTPResponse = connection.getresponse()
    found = Answer(answer.status, dict(answer.getheaders()), answer.read())
    connection.close()
    return found


@pytest.mark.case("FAULT-007")
def test_a_clock_that_jumps_stops_mutations_and_nothing_else(own: Stage, clock: Clock) -> None:
    own.start()
    # Gone in a moment, and not to come back with any clock.
    own.relist(own.a.entry(), own.c.entry(expires_at=now().timestamp() + MEANWHILE))
    assert own.ask(own.a).status == confirm(own).status == 200
    wait_until(lambda: own.ask(own.c).status == 403, within=10 * MEANWHILE, what="the end of an entry")
    for jump in (MINUTES, -MINUTES, DAY, -DAY):
        clock.set(jump)
        with unchanged(own):
            untrusted(own, confirm(own))
        answer = own.ask(own.a)
        assert answer.status == 200, answer.body
        wait_until(lambda: own.around.server.suspicions, within=MEANWHILE * 10, what="the alarm to be told")
        assert own.row(own.ask(own.c)).reason == "expired"
        ready, health = own.federator.ask("/health/ready")
        assert ready == 200
        assert any(f"by {abs(jump):.0f} s and is not believed" in alarm for alarm in health["alarms"])
        clock.set(0)
        # The twin: the same with a sound clock.
        assert own.ask(own.a).status == confirm(own).status == 200
        assert own.federator.ask("/health/ready")[1]["alarms"] == []
        assert own.row(own.ask(own.c)).reason == "expired"
    assert {each.kind for each in own.around.server.suspicions} == {"clock_jumped"}


@pytest.mark.case("FAULT-007")
@pytest.mark.parametrize("jump", [MINUTES, -DAY])
def test_a_clock_may_jump_in_the_middle_of_a_request(own: Stage, clock: Clock, jump: float) -> None:
    own.start()
    mutation = split(own, own.signed(own.a, CONFIRM, CODE), CONFIRM, CODE)
    read = split(own, own.headers(own.a), LOOKUP, BODY)
    clock.set(jump)
    with unchanged(own):
        untrusted(own, ended(mutation))
    answer = ended(read)
    assert answer.status == 200
    assert json.loads(answer.body)["handle"] == "alice"
    clock.set(0)
    assert confirm(own).status == 200
