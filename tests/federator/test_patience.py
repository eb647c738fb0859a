"""How long a remote is left alone, by what it answered."""

import pytest

from isthmus.domain.federation.backoff import FAILURES
from isthmus.domain.federation.denial import Denied
from isthmus.domain.federation.names import BackendDomain
from isthmus.federator.judging import RemoteSaidNo
from isthmus.federator.nested import Told
from isthmus.federator.patience import Patience
from isthmus.protocol.problem import Nested

REMOTE = BackendDomain("b.example")
RETRY_AFTER = 2
SOON = RETRY_AFTER + 0.1


def left_alone(code: str) -> float:
    """For how many seconds it is left alone after it has said no so often, each time when it may be asked again."""
    now = 0.0
    patience = Patience(clock=lambda: now, draw=lambda: 0.9)
    for _ in range(3 * FAILURES):
        patience.failed(REMOTE, RemoteSaidNo("remote_error", Told(Nested(503, code), "", []), RETRY_AFTER))
        began = now
        while not is_admitted(patience):
            now += 0.1
    return now - began


def is_admitted(patience: Patience) -> bool:
    try:
        patience.admit(REMOTE)
    except Denied:
        return False
    return True


def test_a_remote_that_is_overloaded_is_asked_again_when_it_wants_to_be_however_often_it_says_so() -> None:
    assert RETRY_AFTER - 0.1 < left_alone("overloaded") < SOON


def test_what_stands_before_a_dead_remote_is_left_alone_for_longer_and_longer() -> None:
    for code in ("", "upstream_unavailable"):
        assert left_alone(code) == pytest.approx(270, abs=30)
