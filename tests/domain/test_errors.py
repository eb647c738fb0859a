"""Refusals as a whole: what every one of them owes to the place that turns it into an answer."""

import importlib
import json
import pkgutil
import re
from dataclasses import MISSING, fields

import pytest

import isthmus.domain
from isthmus.domain.errors import InvalidValue, NotFound, Refusal, network_not_found, peer_not_found

SAMPLES = {str: "a gateway", int: 7, str | None: "try again"}


def refusals() -> list[type[Refusal]]:
    """Every refusal that some module of the domain defines, without those that only say more than the one that they
    are a kind of: they have its code."""
    for module in pkgutil.walk_packages(isthmus.domain.__path__, "isthmus.domain."):
        importlib.import_module(module.name)
    return [each for each in Refusal.__subclasses__() if each.__module__.startswith("isthmus.domain.")]


def a_refusal(kind: type[Refusal], *, whole: bool) -> Refusal:
    """One of `kind` with a value in each field, or only in each that has no default."""
    wanted = [each for each in fields(kind) if whole or each.default is MISSING]
    return kind(**{each.name: SAMPLES[each.type] for each in wanted})  # type: ignore[index]


REFUSALS = refusals()
every_refusal = pytest.mark.parametrize("refusal", REFUSALS, ids=lambda refusal: refusal.__name__)
whole_or_least = pytest.mark.parametrize("whole", [True, False], ids=["whole", "least"])


def test_each_refusal_has_a_code_of_its_own() -> None:
    codes = [refusal.code for refusal in REFUSALS]
    assert len(codes) == len(set(codes)) > 10


@every_refusal
def test_codes_are_snake_case_and_every_refusal_says_its_own(refusal: type[Refusal]) -> None:
    assert "code" in vars(refusal)
    assert re.fullmatch(r"[a-z]+(_[a-z]+)*", refusal.code)


@whole_or_least
@every_refusal
def test_every_refusal_reads_as_one_sentence(refusal: type[Refusal], whole: bool) -> None:
    text = str(a_refusal(refusal, whole=whole))
    assert text.isprintable()
    assert " " in text
    assert "None" not in text
    assert not text.endswith(".")


@whole_or_least
@every_refusal
def test_details_are_exactly_the_fields_and_fit_into_json(refusal: type[Refusal], whole: bool) -> None:
    details = a_refusal(refusal, whole=whole).details()
    assert details.keys() == {each.name for each in fields(refusal)}
    assert json.loads(json.dumps(details)) == details


@every_refusal
def test_a_refusal_can_be_raised_caught_and_put_into_a_set(refusal: type[Refusal]) -> None:
    raised = a_refusal(refusal, whole=False)
    with pytest.raises(Refusal) as caught:
        raise raised
    assert caught.value is raised
    assert len({raised, a_refusal(refusal, whole=False)}) == 2


def test_an_invalid_value_names_its_field_without_the_slash_of_the_pointer() -> None:
    assert str(InvalidValue("/cidr_v4", "is not a CIDR")) == "cidr_v4: is not a CIDR"


def test_networks_and_peers_that_are_missing_are_called_by_their_kind() -> None:
    assert str(network_not_found("office")) == "there is no network office"
    assert str(peer_not_found("gw")) == "there is no peer gw"
    assert network_not_found("x").code == peer_not_found("x").code == NotFound.code
