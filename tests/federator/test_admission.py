"""Who is admitted: the ordered table from the allow list to the component, each row with its code and its reason."""

from datetime import timedelta
from typing import Any

import pytest

from isthmus.protocol import ingress
from isthmus.protocol.federator import Limits
from tests.federator.organisations import Organisation, now, text
from tests.federator.stage import CONFIRM, LOOKUP, Answer, Stage, unchanged
from tests.x509.forge import Forged, a_uri

SRV = "_isthmus-federator._tcp.a.example SRV"


def denied(stage: Stage, answer: Answer, status: int, code: str, reason: str) -> None:
    assert (answer.status, answer.code) == (status, code)
    row = stage.row(answer)
    assert (row.outcome, row.reason) == ("denied", reason)
    assert row.facts["snapshot"] == stage.generation
    assert row.facts["source"] == "192.0.2.7"


def uniform(stage: Stage, answer: Answer, reason: str) -> str:
    """A caller that is not bound to the origin it claims was refused; returns the body without its ids."""
    denied(stage, answer, 403, "federation_denied", reason)
    return answer.body.decode().replace(answer.request_id, "")


def admitted(stage: Stage, answer: Answer) -> None:
    assert answer.status == 200
    assert stage.rows(answer.request_id) == []


def a_foreign_leaf(stage: Stage) -> Forged:
    """Names of A, by the CA of C."""
    return stage.a.a_leaf(stage.c.ca)


@pytest.mark.case("ADM-001")
def test_the_checks_run_in_their_order(stage: Stage) -> None:
    a, c = stage.a, stage.c
    names = stage.around.names
    tight = Limits(0.01, 1, 1, 1, 8)
    stage.publish(a, "elsewhere.a.example")
    names_before = names.asked(SRV)

    def asked_by(leaf: Forged) -> Answer:
        with unchanged(stage):
            return stage.call(stage.headers(a, leaf))

    wrong = a.a_leaf(c.ca, key_cert_sign=True)
    stage.relist(c.entry())
    uniform(stage, asked_by(wrong), "not_listed")
    stage.relist(a.entry(limits=tight), c.entry())
    uniform(stage, asked_by(wrong), "profile.ca")
    foreign = a_foreign_leaf(stage)
    uniform(stage, asked_by(foreign), "chain.other_remote")
    assert names.asked(SRV) == names_before
    denied(stage, asked_by(a.leaf), 403, "infra_domain_mismatch", "infra_domain_mismatch")
    assert names.asked(SRV) > names_before
    # The quota is charged after all that: its one request is still there, and the second is too many.
    forget_names(stage, a, a.infra)
    admitted(stage, stage.ask(a))
    with unchanged(stage):
        denied(stage, stage.ask(a), 429, "rate_limited", "rate_limited")
    stage.relist(a.entry(), c.entry())
    admitted(stage, stage.ask(a))


def forget_names(stage: Stage, organisation: Organisation, *hosts: str) -> None:
    """Publish other records, and have the Federator forget those that it remembers."""
    stage.publish(organisation, *hosts)
    stage.federator.stop()
    stage.federator.start()
    stage.wait_for_snapshot()


@pytest.mark.case("ADM-003")
def test_callers_that_are_not_proven_get_one_answer(stage: Stage) -> None:
    a, c = stage.a, stage.c
    stranger = Organisation("s")
    unpinned = a.a_leaf(names=("dev.a.example",))
    forget_names(stage, a, "dev.a.example", a.infra)
    stage.relist(a.entry(), c.entry())
    with unchanged(stage):
        bodies = {
            uniform(stage, stage.ask(stranger), "not_listed"),
            uniform(stage, stage.call(stage.headers(a, c.leaf)), "chain.other_remote"),
            uniform(stage, stage.call(stage.headers(a, stranger.leaf)), "chain.issuer"),
            uniform(stage, stage.call(stage.headers(a, a.a_leaf(usages=None))), "profile.eku"),
            uniform(stage, stage.call(stage.headers(a, unpinned)), "infra_unpinned"),
        }
        assert len(bodies) == 1
        # The twin: whoever is proven is told precisely.
        stage.relist(a.entry(state="suspended"), c.entry())
        denied(stage, stage.ask(a), 403, "remote_suspended", "remote_suspended")
    (changed,) = {each.domain for each in stage.suspicions("infra_domain_changed")}
    assert changed == a.domain
    (foreign,) = {each.domain for each in stage.suspicions("foreign_authority")}
    assert foreign == c.domain
    forget_names(stage, a, a.infra)


@pytest.mark.case("ADM-004")
def test_a_proven_remote_or_instance_that_may_not_call_is_told_so(stage: Stage) -> None:
    a, c = stage.a, stage.c
    other = Organisation("a")
    other.ca = a.ca
    unknown = other.a_leaf()
    stage.relist(a.entry(state="suspended"), c.entry(state="revoked"))
    with unchanged(stage):
        denied(stage, stage.ask(a), 403, "remote_suspended", "remote_suspended")
        denied(stage, stage.ask(c), 403, "remote_revoked", "remote_revoked")
        for claimed in (a, c):
            stranger = Organisation("s")
            uniform(stage, stage.call(stage.headers(claimed, stranger.leaf)), "chain.issuer")
        stage.relist(a.entry(instances=[str(a.instance)]), c.entry())
        denied(stage, stage.call(stage.headers(a, unknown)), 403, "instance_unknown", "instance_unknown")
        stage.relist(a.entry(blocked_instances=[str(a.instance)]), c.entry())
        denied(stage, stage.ask(a), 403, "instance_blocked", "instance_blocked")
        # The other remote's leaf does not learn how A stands.
        uniform(stage, stage.call(stage.headers(a, c.leaf)), "chain.other_remote")
    stage.relist(a.entry(instances=[str(a.instance)]), c.entry())
    admitted(stage, stage.ask(a))


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"direction": "out"}, "direction"),
        ({"components": ["resources"]}, "component"),
        ({"components": []}, "component"),
        ({"expires_at": 1.0}, "expired"),
    ],
)
def test_what_an_entry_does_not_cover_is_denied(stage: Stage, changes: dict[str, Any], reason: str) -> None:
    asked = len(stage.around.names.questions)
    stage.relist(stage.a.entry(**changes), stage.c.entry())
    with unchanged(stage):
        uniform(stage, stage.ask(stage.a), reason)
    assert len(stage.around.names.questions) == asked
    stage.relist(stage.a.entry(direction="in", components=["directory"]), stage.c.entry())
    admitted(stage, stage.ask(stage.a))


def test_backends_keep_each_others_standing_whatever_an_entry_leaves_out(stage: Stage) -> None:
    stage.relist(stage.a.entry(direction="out", components=[]), stage.c.entry())
    answer = stage.ask(stage.a, "/federation/heartbeat/get-versions")
    assert answer.status == 200


def test_the_strategy_none_admits_nobody_and_list_only_the_listed(stage: Stage) -> None:
    with unchanged(stage):
        stage.relist(stage.a.entry(), strategy="none")
        uniform(stage, stage.ask(stage.a), "not_listed")
        stage.relist(stage.c.entry())
        uniform(stage, stage.ask(stage.a), "not_listed")
    stage.relist(stage.a.entry())
    admitted(stage, stage.ask(stage.a))


def test_the_strategy_all_goes_by_the_shared_roots(stage: Stage) -> None:
    root = text(stage.a.ca.der)
    stage.relist(strategy="all", shared_roots=[root])
    admitted(stage, stage.ask(stage.a))
    with unchanged(stage):
        uniform(stage, stage.ask(stage.c), "chain.issuer")
        # A leaf of the shared root proves its names, so DNS must lead from the origin to one of them.
        uniform(stage, stage.call(stage.headers(stage.c, stage.a.leaf)), "profile.trust_domain")
        other = stage.a.a_leaf(names=("infra.other.example",))
        uniform(stage, stage.call(stage.headers(stage.a, other)), "infra_domain_mismatch")


def test_nobody_calls_us_as_ourselves(stage: Stage) -> None:
    with unchanged(stage):
        uniform(stage, stage.ask(stage.b), "not_listed")


# Leaves.

PROFILES: list[tuple[dict[str, Any], str]] = [
    ({"ca": True}, "ca"),
    ({"key_cert_sign": True}, "ca"),
    ({"usages": None}, "eku"),
    ({"names": None}, "san_missing"),
    ({"names": ("*.a.example",)}, "wildcard"),
    ({"uris": (a_uri(), a_uri())}, "uri_count"),
    ({"uris": ()}, "uri_count"),
    ({"uris": ("https://a.example/",)}, "uri"),
    ({"digital_signature": False}, "key_usage"),
    ({"ends": now() + timedelta(days=400)}, "lifetime"),
    ({"starts": now() - timedelta(days=1), "ends": now() - timedelta(seconds=1)}, "dates"),
    ({"starts": now() + timedelta(hours=1)}, "dates"),
]


@pytest.mark.parametrize(("fields", "rule"), PROFILES)
def test_a_leaf_that_breaks_a_rule_of_the_profile_is_denied(stage: Stage, fields: dict[str, Any], rule: str) -> None:
    with unchanged(stage):
        uniform(stage, stage.call(stage.headers(stage.a, stage.a.a_leaf(**fields))), f"profile.{rule}")


def test_a_leaf_that_names_another_backend_is_denied(stage: Stage) -> None:
    leaf = stage.a.a_leaf(uris=(a_uri("c.example"),))
    with unchanged(stage):
        uniform(stage, stage.call(stage.headers(stage.a, leaf)), "profile.trust_domain")


def test_a_powernode_uri_means_the_remote_whose_authority_issued_it(stage: Stage) -> None:
    leaf = stage.a.a_leaf(uris=(f"powernode://instance/{stage.a.instance}",))
    admitted(stage, stage.call(stage.headers(stage.a, leaf)))
    assert stage.calls[-1].context.instance == str(stage.a.instance)


@pytest.mark.parametrize("by", ["leaf", "serial", "key", "instance"])
def test_what_is_revoked_is_refused_on_an_open_connection(stage: Stage, by: str) -> None:
    leaf = stage.a.leaf
    from isthmus.x509.leaf import read_leaf

    facts = read_leaf(leaf.der)
    changes = {
        "leaf": {"revoked_leaves": [text(facts.fingerprint)]},
        "serial": {"revoked_serials": [f"{facts.serial:x}"]},
        "key": {"revoked_keys": [text(facts.key)]},
        "instance": {"revoked_instances": [str(stage.a.instance)]},
    }[by]
    admitted(stage, stage.ask(stage.a))
    stage.relist(stage.a.entry(**changes), stage.c.entry())
    with unchanged(stage):
        uniform(stage, stage.ask(stage.a), "instance_revoked" if by == "instance" else "leaf_revoked")
    if by != "instance":
        admitted(stage, stage.call(stage.headers(stage.a, stage.a.a_leaf())))


def test_no_anchors_is_nobody_and_the_store_gone_is_not_yes(stage: Stage) -> None:
    stage.relist(stage.a.entry(authorities=[]), stage.c.entry())
    with unchanged(stage):
        uniform(stage, stage.ask(stage.a), "chain.no_authorities")
    stage.relist(stage.a.entry(), stage.c.entry())
    admitted(stage, stage.ask(stage.a))


# Discovery.


def test_a_caller_whose_origin_publishes_nothing_is_told_the_mismatch(stage: Stage) -> None:
    forget_names(stage, stage.a)
    with unchanged(stage):
        denied(stage, stage.ask(stage.a), 403, "infra_domain_mismatch", "infra_domain_mismatch")
    forget_names(stage, stage.a, stage.a.infra)
    admitted(stage, stage.ask(stage.a))
    assert stage.around.names.asked(SRV) >= 1


def test_a_resolver_that_fails_is_told_apart_from_a_no(stage: Stage) -> None:
    stage.around.say(SRV, rcode="SERVFAIL")
    stage.federator.stop()
    stage.federator.start()
    stage.wait_for_snapshot()
    with unchanged(stage):
        answer = stage.ask(stage.a)
    assert (answer.status, answer.code) == (503, "discovery_unavailable")
    assert int(answer.headers["Retry-After"]) >= 1
    assert answer.problem["retryable"] is True
    assert stage.row(answer).actor.startswith("remote:a.example/")
    forget_names(stage, stage.a, stage.a.infra)
    admitted(stage, stage.ask(stage.a))


def test_strangers_cause_no_lookups(stage: Stage) -> None:
    before = len(stage.around.names.questions)
    for number in range(20):
        uniform(stage, stage.ask(Organisation(f"s{number}")), "not_listed")
    assert len(stage.around.names.questions) == before


# Versions, states, invitations.


@pytest.mark.parametrize("version", [None, "", "1", "-1", "x", "0.0", "00000"])
def test_a_version_that_is_not_spoken_is_refused_with_those_that_are(stage: Stage, version: str | None) -> None:
    with unchanged(stage):
        answer = stage.ask(stage.a, Isthmus_Api_Version=version)
    assert (answer.status, answer.code) == (400, "unsupported_version")
    assert answer.problem["supported"] == [0]
    assert stage.row(answer).reason == "unsupported_version"


def test_a_pending_remote_reaches_handshake_and_heartbeat_alone(stage: Stage) -> None:
    stage.relist(stage.a.entry(state="pending"), stage.c.entry())
    with unchanged(stage):
        uniform(stage, stage.ask(stage.a), "not_confirmed")
        uniform(stage, stage.ask(stage.a, "/federation/directory/nothing"), "not_confirmed")
    assert stage.ask(stage.a, "/federation/heartbeat/get-versions").status == 200
    assert stage.call(stage.signed(stage.a, CONFIRM, b"{}"), CONFIRM, b"{}").status == 200


def test_a_suspended_remote_may_still_deliver_its_notice(stage: Stage) -> None:
    path = "/federation/handshake/notice"
    stage.relist(stage.a.entry(state="suspended"), stage.c.entry())
    assert stage.call(stage.signed(stage.a, path, b"{}"), path, b"{}").status == 200
    with unchanged(stage):
        denied(stage, stage.ask(stage.a, "/federation/heartbeat/beat"), 403, "remote_suspended", "remote_suspended")


ACCEPT = "/federation/handshake/accept"
INVITATION = "7c9e6679-7425-40de-944b-e07fc1f90ae7"


def an_invitation_leaf(stage: Stage, **fields: Any) -> Forged:
    return stage.b.a_leaf(uris=(f"spiffe://b.example/invitation/{INVITATION}",), **fields)


def test_the_holder_of_an_invitation_reaches_accept_and_nothing_else(stage: Stage) -> None:
    guest = Organisation("g")
    leaf = an_invitation_leaf(stage)
    answer = stage.call(stage.headers(guest, leaf), ACCEPT)
    assert answer.status == 200
    context = stage.calls[-1].context
    assert (context.remote, context.invitation, context.origin) == ("", INVITATION, "g.example")
    with unchanged(stage):
        uniform(stage, stage.call(stage.headers(guest, leaf), LOOKUP), "invitation_route")
        uniform(stage, stage.call(stage.headers(guest, leaf), "/federation/heartbeat/beat"), "invitation_route")
        forged = guest.a_leaf(uris=(f"spiffe://b.example/invitation/{INVITATION}",))
        uniform(stage, stage.call(stage.headers(guest, forged), ACCEPT), "chain.issuer")
        ours = stage.b.leaf
        uniform(stage, stage.call(stage.headers(guest, ours), ACCEPT), "not_listed")
        # An active remote has no business there with its own leaf.
        uniform(stage, stage.ask(stage.a, ACCEPT), "not_admitted")
        stage.relist(strategy="none")
        uniform(stage, stage.call(stage.headers(guest, leaf), ACCEPT), "not_listed")


# The ingress.


def test_only_the_ingress_is_listened_to(stage: Stage) -> None:
    wrong: dict[str, list[str]] = {ingress.SECRET: ["", "0" * 64, "x"], ingress.LISTENER: ["", "wan-2"]}
    with unchanged(stage):
        for name, values in wrong.items():
            for value in [None, *values]:
                given: dict[str, Any] = {name: value}
                answer = stage.ask(stage.a, **given)
                assert (answer.status, answer.code) == (403, "ingress_untrusted")
                assert stage.row(answer).reason == "listener_secret"
    admitted(stage, stage.ask(stage.a))


def test_a_refusal_says_nothing_that_the_caller_need_not_know(stage: Stage) -> None:
    answer = stage.call(stage.headers(stage.a, stage.c.leaf))
    for word in ("chain", "other_remote", "c.example", "a.example", "python", "aiohttp", "snapshot"):
        assert word not in answer.body.decode().lower()
    assert "aiohttp" not in answer.headers.get("Server", "").lower()
