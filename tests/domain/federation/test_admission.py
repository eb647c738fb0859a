"""The rows of the inbound table that need no I/O: who passes the gate, who stands how, and what strangers may read."""

from dataclasses import replace
from itertools import product
from uuid import UUID

import pytest

from isthmus.domain.federation import admission
from isthmus.domain.federation.certificate import LeafFacts
from isthmus.domain.federation.denial import Denied
from isthmus.domain.federation.names import BackendDomain, InfraDomain, InstanceId
from isthmus.domain.federation.remote import Direction, State, Strategy, Trust
from isthmus.domain.federation.view import Known, Revoked, View
from isthmus.protocol.problem import STATUS
from isthmus.x509.leaf import read_leaf
from tests.x509.forge import a_leaf, an_authority

A, B = BackendDomain("a.example"), BackendDomain("b.example")
INSTANCE = InstanceId(UUID("7c9e6679-7425-40de-944b-e07fc1f90ae7"))
AUTHORITY = an_authority()


def a_known(**fields: object) -> Known:
    plain = Known(
        A, 1, State.ACTIVE, Direction.BOTH, Trust.PINNED, frozenset({InfraDomain("infra.a.example")}), (b"ca",)
    )
    return replace(plain, **fields)  # type: ignore[arg-type]  # a builder takes every field


def a_view(*known: Known, strategy: Strategy = Strategy.LIST) -> View:
    return View(1, B, (InfraDomain("infra.b.example"),), strategy, {each.domain: each for each in known}, (b"root",))


def facts_of(names: tuple[str, ...]) -> LeafFacts:
    return read_leaf(a_leaf(AUTHORITY, names=names).der)


def reason(row: object, *arguments: object) -> str:
    try:
        row(*arguments)  # type: ignore[operator]  # any row of the table
    except Denied as denied:
        return denied.reason
    return ""


def listed(view: View, component: str = "directory", origin: BackendDomain = A, now: float = 0.0) -> str:
    return reason(admission.listed, view, origin, component, now)


def test_the_gate_knows_the_strategies() -> None:
    assert listed(a_view(a_known())) == ""
    assert listed(a_view()) == "not_listed"
    assert listed(a_view(a_known(), strategy=Strategy.NONE)) == "not_listed"
    assert listed(a_view(strategy=Strategy.ALL)) == ""
    # Removed is removed: the shared roots do not bring it back.
    for strategy in Strategy:
        assert listed(a_view(a_known(listed=False), strategy=strategy), "handshake") == "not_listed"
    assert listed(a_view(strategy=Strategy.ALL), origin=B) == "not_listed"
    assert listed(a_view(replace(a_known(), domain=B)), origin=B) == "not_listed"


def test_whoever_has_no_entry_under_all_is_known_by_the_shared_roots() -> None:
    known = admission.listed(a_view(strategy=Strategy.ALL), A, "directory", 0.0)
    assert (known.trust, known.authorities, known.infra_domains) == (Trust.SHARED, (b"root",), frozenset())


@pytest.mark.parametrize("component", ["directory", "handshake", "heartbeat"])
@pytest.mark.parametrize("direction", list(Direction))
@pytest.mark.parametrize("components", [None, frozenset(), frozenset({"directory"})])
def test_an_entry_limits_direction_and_components_but_not_the_standing(
    component: str, direction: Direction, components: frozenset[str] | None
) -> None:
    said = listed(a_view(a_known(direction=direction, components=components)), component)
    if component in admission.BETWEEN_BACKENDS:
        assert said == ""
    elif direction is Direction.OUT:
        assert said == "direction"
    else:
        assert said == ("" if components is None or component in components else "component")


def test_an_entry_ends_at_its_very_second() -> None:
    view = a_view(a_known(expires_at=100.0))
    assert listed(view, now=99.9) == ""
    assert listed(view, now=100.0) == "expired"
    assert listed(view, "handshake", now=100.0) == "expired"


@pytest.mark.parametrize(("state", "admitted"), list(product(State, [set(), {State.ACTIVE}, set(State)])))
def test_states_are_admitted_as_the_call_says_and_each_no_has_its_word(state: State, admitted: set[State]) -> None:
    said = reason(admission.check_standing, a_known(state=state), INSTANCE, admitted)
    words = {State.SUSPENDED: "remote_suspended", State.REVOKED: "remote_revoked", State.PENDING: "not_confirmed"}
    assert said == ("" if state in admitted else words.get(state, "not_admitted"))


def test_instances_stand_for_themselves() -> None:
    other = InstanceId(UUID(int=1))
    active = {State.ACTIVE}
    assert reason(admission.check_standing, a_known(instances=frozenset({INSTANCE})), INSTANCE, active) == ""
    assert (
        reason(admission.check_standing, a_known(instances=frozenset({other})), INSTANCE, active) == "instance_unknown"
    )
    assert reason(admission.check_standing, a_known(instances=frozenset()), INSTANCE, active) == "instance_unknown"
    assert (
        reason(admission.check_standing, a_known(blocked=frozenset({INSTANCE})), INSTANCE, active) == "instance_blocked"
    )
    assert reason(admission.check_standing, a_known(), None, active) == "profile.uri"


def test_revocations_meet_leaf_serial_key_and_instance() -> None:
    leaf = facts_of(("infra.a.example",))
    for revoked, said in (
        (Revoked(leaves=frozenset({leaf.fingerprint})), "leaf_revoked"),
        (Revoked(serials=frozenset({leaf.serial})), "leaf_revoked"),
        (Revoked(keys=frozenset({leaf.key})), "leaf_revoked"),
        (Revoked(instances=frozenset({INSTANCE})), "instance_revoked"),
        (Revoked(leaves=frozenset({b"other"}), serials=frozenset({1}), keys=frozenset({b"other"})), ""),
    ):
        assert reason(admission.check_revoked, a_known(revoked=revoked), leaf, INSTANCE) == said


NAMES = ("x.a.example", "infra.a.example")


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (set(), "infra_domain_mismatch"),
        ({"other.a.example"}, "infra_domain_mismatch"),
        ({"x.a.example"}, "infra_unpinned"),
        ({"infra.a.example"}, ""),
        ({"x.a.example", "infra.a.example"}, ""),
    ],
)
def test_dns_certificate_and_pins_must_agree_on_a_name(found: set[str], said: str) -> None:
    assert reason(admission.check_infra_domain, a_known(), found, facts_of(NAMES)) == said


def test_the_infra_domain_is_one_that_all_agree_on() -> None:
    leaf = facts_of(NAMES)
    assert admission.check_infra_domain(a_known(), set(NAMES), leaf) == "infra.a.example"
    unpinned = a_known(trust=Trust.SHARED, infra_domains=frozenset())
    assert admission.check_infra_domain(unpinned, set(NAMES), leaf) == "x.a.example"
    # An entry that pins nothing under its own authorities pins, and has nothing to agree with.
    assert (
        reason(admission.check_infra_domain, a_known(infra_domains=frozenset()), set(NAMES), leaf) == "infra_unpinned"
    )


@pytest.mark.parametrize("code", sorted(admission.FOR_THE_BOUND))
def test_what_tells_of_a_remote_is_for_that_remote_alone(code: str) -> None:
    denied = Denied(code, detail="tells something", members={"retry_after": 1})
    told = admission.disclosed(denied, None)
    assert (told.code, told.detail, told.members) == ("federation_denied", "", {})
    assert told.reason == code
    assert admission.disclosed(denied, A) is denied


def test_all_codes_of_the_table_are_codes() -> None:
    assert admission.FOR_THE_BOUND | {admission.UNIFORM} <= set(STATUS)


@pytest.mark.parametrize("text", [None, "", "x", "-1", "1", "00001", "\N{ARABIC-INDIC DIGIT ZERO}", "0 "])
def test_a_version_is_a_number_that_is_spoken(text: str | None) -> None:
    with pytest.raises(Denied) as denied:
        admission.version_of(text, (0, 2))
    assert (denied.value.code, denied.value.members["supported"]) == ("unsupported_version", [0, 2])
    assert admission.version_of("2", (0, 2)) == 2
