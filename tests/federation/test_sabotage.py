"""The harness is proven by weaknesses on purpose: each turns the check of a named case of the catalogue red.

Without the weakness the check passes: that it did before is its own test's to show, here it does afterwards.
"""

from collections.abc import Callable

import pytest

from tests.federation import named
from tests.federation.federation import Federation
from tests.federation.planting import weak_federator, weak_ingress, weak_server

Check = Callable[[Federation], None]

INGRESS: list[tuple[str, Check]] = [
    ("client-certificate-optional", lambda all_of: named.no_certificate_is_refused(all_of.a, all_of.b)),
    ("session-tickets", lambda all_of: named.sessions_are_not_resumed(all_of.a, all_of.b)),
    ("all-headers-pass", lambda all_of: named.forged_trust_headers_change_nothing(all_of.a, all_of.b)),
    ("any-request-line", lambda all_of: named.encoded_paths_are_no_routes(all_of.a, all_of.b)),
]
FEDERATOR: list[tuple[str, Check]] = [
    ("no-chain-check", named.leaf_of_another_remote_is_refused),
    ("no-chain-check", named.anchors_are_not_pooled),
    ("no-pin-check", named.lying_dns_does_not_widen_the_pin),
    ("decoded-paths", lambda all_of: named.encoded_paths_are_no_routes(all_of.a, all_of.b)),
]


@pytest.mark.parametrize(("weakness", "check"), INGRESS, ids=[name for name, _ in INGRESS])
def test_a_weak_ingress_is_noticed(federation: Federation, weakness: str, check: Check) -> None:
    with weak_ingress(federation.b, weakness), pytest.raises(AssertionError):
        check(federation)
    check(federation)


@pytest.mark.parametrize(
    ("weakness", "check"), FEDERATOR, ids=[f"{name}-{check.__name__.strip('<>')}" for name, check in FEDERATOR]
)
def test_a_weak_federator_is_noticed(federation: Federation, weakness: str, check: Check) -> None:
    with weak_federator(federation.b, weakness), pytest.raises(AssertionError):
        check(federation)
    check(federation)


def test_a_weak_component_is_noticed(federation: Federation) -> None:
    a, b = federation.a, federation.b
    with weak_server(b, "unsealed-components"), pytest.raises(AssertionError):
        named.plain_headers_prove_nothing(a, b)
    named.plain_headers_prove_nothing(a, b)
