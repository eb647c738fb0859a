"""Names of backends: one spelling each, and nothing that somebody could mistake for an address."""

from uuid import UUID

import pytest
from hypothesis import given

from isthmus.domain.errors import InvalidValue
from isthmus.domain.federation import names
from tests.domain.strategies import hostile_text

INSTANCE = names.InstanceId(UUID("3f2504e0-4f89-41d3-9a0c-0305e82c3301"))


@pytest.mark.parametrize("text", ["a.example", "infra.a.example", "xn--bcher-kva.example", "a-1.b2", "1.example"])
def test_lower_case_labels_with_a_dot_between_are_a_domain(text: str) -> None:
    assert names.backend_domain(text) == text
    assert names.infra_domain(text) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "example",
        "a.example.",
        "A.example",
        "a..example",
        "-a.example",
        "a-.example",
        "a_b.example",
        "bücher.example",
        "10.0.0.1",
        "a.10",
        "::1",
        "*.a.example",
        "a.example:443",
        "https://a.example",
        "a.example,b.example",
        "a.example\n",
        f"{'a' * 64}.example",
        ".".join(["a" * 63] * 4),
    ],
)
def test_everything_else_is_none_and_the_refusal_shows_what_one_looks_like(text: str) -> None:
    with pytest.raises(InvalidValue, match="is no domain") as refusal:
        names.backend_domain(text)
    assert refusal.value.hint is not None
    assert "example.com" in refusal.value.hint


@given(hostile_text)
def test_no_text_breaks_the_grammar(text: str) -> None:
    assert names.is_domain(text) in (True, False)


def test_a_handle_is_qualified_by_the_domain_of_its_backend() -> None:
    assert names.qualified("alice@b.example") == ("alice", "b.example")


@pytest.mark.parametrize("text", ["alice", "@b.example", "alice@", "alice@b", "Alice@b.example", "a@b@c.example"])
def test_half_a_handle_is_refused(text: str) -> None:
    with pytest.raises(InvalidValue, match="is no qualified handle"):
        names.qualified(text)


def test_the_uris_of_instances_and_invitations_match_their_grammar() -> None:
    domain = names.BackendDomain("a.example")
    for uri, kind in (
        (names.instance_uri(domain, INSTANCE), "instance"),
        (names.invitation_uri(domain, INSTANCE), "invitation"),
    ):
        found = names.SPIFFE.fullmatch(uri)
        assert found is not None
        assert found.groups() == ("a.example", kind, str(INSTANCE))


@pytest.mark.parametrize(
    "uri",
    [
        f"spiffe://a.example:443/instance/{INSTANCE}",
        f"spiffe://me@a.example/instance/{INSTANCE}",
        f"spiffe://a.example/instance/{INSTANCE}/",
        f"spiffe://a.example/instance/{INSTANCE}?x=1",
        f"spiffe://a.example/instance/{INSTANCE}#x",
        f"spiffe://a.example/instance/{str(INSTANCE).upper()}",
        f"spiffe://a.example/instance/{INSTANCE.hex}",
        f"spiffe://a.example/%69nstance/{INSTANCE}",
        f"spiffe://A.example/instance/{INSTANCE}",
        f"spiffe:///instance/{INSTANCE}",
        f"spiffe://a.example/instance/{INSTANCE}\n",
    ],
)
def test_an_instance_has_no_second_spelling(uri: str) -> None:
    assert names.SPIFFE.fullmatch(uri) is None
