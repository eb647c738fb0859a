"""Why a call was denied: by its request id, and whether a supposed one would be."""

import json
from dataclasses import replace
from datetime import timedelta

import pytest

from isthmus.cli import grant_text
from isthmus.domain.errors import NotFound
from isthmus.domain.federation.bridge import State
from isthmus.server.adapters.api.grant_views import ExplanationView
from isthmus.server.application.explain import Supposed
from tests.application.backend import BOTH_DATABASES
from tests.application.granting import LISTS, NETWORK, OFFICE, OTHER_INSTANCE, PLANT, SOURCE, Owner
from tests.application.pair import INSTANCE

ALLOWED = {"instance": LISTS["instances"], "network": LISTS["networks"], "source": LISTS["sources"]}


def printed(view: ExplanationView) -> str:
    """What an operator reads at the CLI."""
    return grant_text.explained(json.loads(view.model_dump_json()))


@pytest.mark.case("SEED-157")
@BOTH_DATABASES
async def test_a_denial_is_explained_from_its_request_id_and_from_its_facts(owner: Owner) -> None:
    issued = await owner.grant(**LISTS)
    problem, _ = await owner.denied("axis_denied", issued.token, instance=OTHER_INSTANCE)
    explaining, grant_id = owner.side.services.explaining, issued.grant.id
    recorded = await explaining.recorded(grant_id, problem["request_id"])
    supposed = await explaining.supposed(grant_id, Supposed(OTHER_INSTANCE, NETWORK, SOURCE))
    for found in (recorded, supposed):
        view = ExplanationView.of(found)
        assert (view.allowed, view.deciding, view.code, view.bridge_state) == (
            False,
            "instance",
            "axis_denied",
            "active",
        )
        assert {each.axis: each.allowed for each in view.axes} == ALLOWED
        supplied = {"instance": OTHER_INSTANCE, "network": NETWORK, "source": SOURCE}
        assert {each.axis: each.supplied for each in view.axes} == supplied
        assert {each.axis: each.admitted for each in view.axes} == {"instance": False, "network": True, "source": True}
        text = printed(view)
        assert "denied by instance: axis_denied" in text
        for value in (OTHER_INSTANCE, INSTANCE, NETWORK, SOURCE, *LISTS["sources"], "active"):
            assert value in text
        for form in (text, view.model_dump_json()):
            assert issued.token not in form
            assert issued.token.partition(".")[2] not in form
    assert (recorded.recorded, supposed.recorded) == ("axis_denied", None)


@pytest.mark.case("SEED-157")
@pytest.mark.parametrize("old", ["fg-{}", "Bearer fg-{}", "Basic {}"])
async def test_the_old_form_of_a_token_is_no_credential(owner: Owner, old: str) -> None:
    issued = await owner.grant()
    await owner.denied("grant_invalid", old.format(issued.grant.id))
    await owner.passed(issued.token)


async def test_a_call_that_passed_is_explained_as_it_was_and_judged_as_things_are(owner: Owner) -> None:
    issued = await owner.grant(**LISTS)
    row = await owner.passed(issued.token)
    async with owner.side.store.transaction() as tx:
        (bridge,) = [each for each in await tx.bridges.of_network(OFFICE.id) if each.remote == "b.example"]
        await tx.bridges.save(replace(bridge, state=State.SUSPENDED))
    found = await owner.side.services.explaining.recorded(issued.grant.id, row.request_id)
    assert (found.recorded, found.verdict.deciding, found.verdict.code) == ("", "way", "bridge_not_active")


async def test_what_is_missing_of_a_supposed_call_denies(owner: Owner) -> None:
    issued = await owner.grant(**LISTS)
    explained = owner.side.services.explaining.supposed
    whole = Supposed(INSTANCE, NETWORK, SOURCE)
    assert (await explained(issued.grant.id, whole)).verdict.code == ""
    for name in ("instance", "network", "source"):
        assert (await explained(issued.grant.id, replace(whole, **{name: None}))).verdict.code
    assert (await explained(issued.grant.id, replace(whole, network=str(PLANT.id)))).verdict.deciding == "network"
    assert (await explained(issued.grant.id, replace(whole, scope="write"))).verdict.code == "grant_scope_missing"
    owner.side.clock.turn(timedelta(days=31))
    assert (await explained(issued.grant.id, whole)).verdict.code == "grant_expired"


async def test_a_request_that_used_another_grant_explains_nothing(owner: Owner) -> None:
    issued, other = await owner.grant(), await owner.grant()
    row = await owner.passed(issued.token)
    with pytest.raises(NotFound):
        await owner.side.services.explaining.recorded(other.grant.id, row.request_id)
    with pytest.raises(NotFound):
        await owner.side.services.explaining.recorded(issued.grant.id, "no-such-request")
