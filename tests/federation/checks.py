"""What every attack test asserts: status and code, exactly one audit row, no component call, no state change."""

import contextlib
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

from isthmus.protocol.problem import MEDIA_TYPE
from lab.waiting import wait_until
from tests.federation.party import Party, Row
from tests.federation.wire import Answer

# A row of the Federator travels in batches of a tenth of a second, one of the ingress within five seconds.
ROW_SECONDS = 10.0
# Long enough for a second row of the same refusal to arrive where there is one by mistake.
QUIET_SECONDS = 0.4
LONGEST_PROBLEM = 4096
MEMBERS = {"type", "title", "status", "code", "stage", "retryable", "instance"}
# What must not stand in a problem document whatever happened.
INSIDE = (b"Traceback", b"nginx/", b"aiohttp", b".py", b"PRIVATE KEY", b"Python/")


def refused(answer: Answer, status: int, code: str) -> Answer:
    """A problem document of this status and code, as the catalogue's head wants every one of them."""
    assert answer.status == status, answer
    assert answer.header("Content-Type") == MEDIA_TYPE, answer
    assert answer.header("Cache-Control") == "no-store", answer
    assert len(answer.body) <= LONGEST_PROBLEM
    problem = answer.json
    assert problem["code"] == code, answer
    assert problem["status"] == status
    assert problem["type"] == f"urn:isthmus:problem:{code}"
    assert problem.keys() >= MEMBERS, answer
    assert problem["instance"].startswith("urn:uuid:")
    for text in INSIDE:
        assert text not in answer.body
    return answer


@dataclass
class Watch:
    """What a backend did while a block ran; filled in when it has ended. `federator` is what its Federator saw."""

    party: Party
    rows: list[Row] = field(default_factory=list)
    federator: int = 0
    components: int = 0

    @property
    def row(self) -> Row:
        """The one audit row."""
        assert len(self.rows) == 1, self.rows
        return self.rows[0]


@contextlib.contextmanager
def one_audit_row(party: Party, reason: str, *, within: float = ROW_SECONDS) -> Iterator[Watch]:
    """The block makes the audit log grow by exactly one denial, and that is for this reason.

    Effects have rows of their own, and denials of a moment ago may be still on their way.
    """
    watch = Watch(party)
    time.sleep(QUIET_SECONDS)
    before = party.last_row()
    yield watch
    with contextlib.suppress(TimeoutError):
        wait_until(lambda: party.denials(before), within=within, what=f"an audit row at {party}")
    time.sleep(QUIET_SECONDS)
    watch.rows = party.denials(before)
    assert [row["reason"] for row in watch.rows] == [reason], f"denials at {party}: {watch.rows}"


@contextlib.contextmanager
def no_denial(party: Party) -> Iterator[None]:
    time.sleep(QUIET_SECONDS)
    before = party.last_row()
    yield
    time.sleep(QUIET_SECONDS)
    assert party.denials(before) == []


@contextlib.contextmanager
def no_state_change(party: Party) -> Iterator[None]:
    """No table but the log is another one after the block, and no message waits that did not wait before."""
    before = party.state()
    yield
    after = party.state()
    changed = sorted(name for name in before.keys() | after.keys() if before.get(name) != after.get(name))
    assert changed == [], f"changed at {party}: {changed}"


def until_quiet(party: Party) -> None:
    """Wait for what is still to be told to others, and for what follows of a change of a moment ago."""

    def is_quiet() -> bool:
        before = party.state()
        time.sleep(QUIET_SECONDS)
        return party.state() == before

    wait_until(is_quiet, within=ROW_SECONDS, what=f"{party} to have told its news")


@contextlib.contextmanager
def no_component_call(party: Party) -> Iterator[None]:
    before = party.component_calls()
    yield
    assert party.component_calls() == before, f"a component of {party} was called"


@contextlib.contextmanager
def refusing(party: Party, reason: str, *, by_ingress: bool = False) -> Iterator[Watch]:
    """All at once: one audit row for `reason`, no component call, no state change. Where the ingress refuses, the
    Federator sees nothing either.

        with refusing(b, "chain.other_remote"):
            refused(c.asks(b, c.request(b, changed={ORIGIN: a.domain})), 403, "federation_denied")
        clean_request(c, b)
    """
    seen = party.federator_calls()
    with no_state_change(party), no_component_call(party), one_audit_row(party, reason) as watch:
        yield watch
    watch.federator = party.federator_calls() - seen
    if by_ingress:
        assert watch.federator == 0, f"the Federator of {party} saw a request that its ingress refused"


@dataclass
class Refusals:
    """Refusals of one block, told one by one: which answer, and which reason its audit row must have."""

    party: Party
    reasons: dict[str, str] = field(default_factory=dict)
    passed_on: int = 0
    rows: list[Row] = field(default_factory=list)

    def __call__(self, answer: Answer, status: int, code: str, reason: str = "") -> Answer:
        problem = refused(answer, status, code).json
        assert problem["request_id"] not in self.reasons, "two answers have one request id"
        self.reasons[problem["request_id"]] = reason or code
        self.passed_on += problem["stage"] != "ingress"
        return answer

    def are_told(self) -> bool:
        return {row["request_id"] for row in self.rows} >= self.reasons.keys()

    def look(self, after: int) -> bool:
        self.rows = self.party.denials(after)
        return self.are_told()


@contextlib.contextmanager
def refusing_each(party: Party, *, beside_the_ingress: bool = False) -> Iterator[Refusals]:
    """`refusing` for many at a time: each refusal that is told has its one row, and there is no other.

    The Federator sees those alone that the ingress let pass; with `beside_the_ingress` they did not come that way.

        with refusing_each(b) as refuse:
            for leaf in leaves:
                refuse(a.asks(b, credential=leaf), 403, "federation_denied", "profile.eku")
        clean_request(a, b)
    """
    told = Refusals(party)
    with no_state_change(party), no_component_call(party):
        time.sleep(QUIET_SECONDS)
        before, seen = party.last_row(), party.federator_calls()
        yield told
        with contextlib.suppress(TimeoutError):
            wait_until(lambda: told.look(before), within=ROW_SECONDS, what=f"the audit rows at {party}")
        time.sleep(QUIET_SECONDS)
        told.look(before)
    found = sorted((row["request_id"], row["reason"]) for row in told.rows)
    assert found == sorted(told.reasons.items()), f"denials at {party}: {told.rows}"
    if not beside_the_ingress:
        assert party.federator_calls() - seen == told.passed_on


def clean_request(party: Party, other: Party, handle: str = "alice") -> Answer:
    """The benign twin: `party` asks `other` for a handle that it may see, and gets the profile."""
    answer = party.asks(other, party.request(other, body=b'{"handle":"%s"}' % handle.encode()))
    assert answer.status == 200, answer
    assert answer.header("Content-Type") == "application/json"
    assert answer.json["handle"] == handle
    return answer
