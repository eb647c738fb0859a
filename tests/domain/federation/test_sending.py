"""Whether a call may go out, and in which version."""

from dataclasses import replace

import pytest

from isthmus.domain.federation.denial import Denied
from isthmus.domain.federation.names import BackendDomain, InfraDomain
from isthmus.domain.federation.remote import Direction, State, Strategy, Trust
from isthmus.domain.federation.sending import common_version, recipient
from isthmus.domain.federation.view import Known, View

B = Known(
    BackendDomain("b.example"),
    1,
    State.ACTIVE,
    Direction.BOTH,
    Trust.PINNED,
    frozenset({InfraDomain("infra.b.example")}),
    (b"",),
)
NOW = 1000.0


def a_view(known: Known, strategy: Strategy = Strategy.LIST) -> View:
    return View(1, BackendDomain("a.example"), (), strategy, {known.domain: known})


def reason(known: Known, component: str = "directory", rpc: str = "get-instance", **fields: Strategy) -> str:
    try:
        recipient(a_view(known, **fields), BackendDomain("b.example"), component, rpc, NOW)
    except Denied as denied:
        return f"{denied.code}:{denied.reason}".removeprefix("target_denied:")
    return ""


CASES = {
    "pending": (replace(B, state=State.PENDING), "remote_pending"),
    "suspended": (replace(B, state=State.SUSPENDED), "remote_suspended"),
    "revoked": (replace(B, state=State.REVOKED), "remote_revoked"),
    "inwards": (replace(B, direction=Direction.IN), "direction"),
    "components": (replace(B, components=frozenset({"grants"})), "component"),
    "expired": (replace(B, expires_at=NOW), "remote_expired"),
    "good": (replace(B, direction=Direction.OUT, components=frozenset({"directory"}), expires_at=NOW + 1), ""),
}


@pytest.mark.parametrize("case", CASES)
def test_the_list_says_who_may_be_called(case: str) -> None:
    known, expected = CASES[case]
    assert reason(known) == expected


def test_strategy_none_knows_nobody_and_all_knows_everybody() -> None:
    assert reason(B, strategy=Strategy.NONE) == "not_listed"
    stranger = replace(B, domain=BackendDomain("c.example"))
    assert reason(stranger) == "not_listed"
    assert reason(stranger, strategy=Strategy.ALL) == ""


@pytest.mark.parametrize("state", [State.SUSPENDED, State.REVOKED])
def test_a_notice_reaches_whoever_is_cut_off_and_nothing_else_does(state: State) -> None:
    known = replace(B, state=state)
    assert reason(known, "handshake", "notice") == ""
    assert reason(known, "handshake", "confirm") == f"remote_{state}"
    assert reason(known, "heartbeat", "beat") == f"remote_{state}"


def test_the_handshake_needs_no_agreement_yet() -> None:
    known = replace(B, state=State.PENDING, direction=Direction.IN, components=frozenset())
    assert reason(known, "handshake", "accept") == ""
    assert reason(known, "heartbeat", "beat") == ""


@pytest.mark.parametrize(("theirs", "version"), [([0, 1, 2], 2), ([1, 999], 1), ([], 0)])
def test_the_highest_common_version_is_used(theirs: list[int], version: int) -> None:
    assert common_version([0, 1, 2], theirs) == version


@pytest.mark.parametrize(("theirs", "older"), [([998, 999], "this backend"), ([-1], "the remote")])
def test_without_a_common_version_somebody_is_older(theirs: list[int], older: str) -> None:
    with pytest.raises(Denied) as denied:
        common_version([0, 1, 2], theirs)
    assert denied.value.code == "unsupported_version"
    assert older in denied.value.detail
    assert denied.value.members["supported"] == sorted(theirs, reverse=True)
