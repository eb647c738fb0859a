"""An identity provider's keys in memory: when they are read anew, and how long what was read counts."""

import asyncio
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest

from isthmus.domain.errors import Unauthenticated
from isthmus.server.adapters.oidc.keys import FRESH, KEPT, MOST_ASKED, Keys, SigningKeys
from isthmus.server.adapters.oidc.tokens import keys_in
from isthmus.server.identity_ports import ProviderUnavailable
from tests.provider import new_key

DOCUMENTS = {name: new_key(name).as_dict(private=False) for name in ("old", "new")}


@dataclass
class Source:
    """The provider and the clock."""

    names: list[str] = field(default_factory=lambda: ["old"])
    is_down: bool = False
    reads: int = 0
    moment: datetime = datetime(2026, 3, 2, 12, tzinfo=UTC)

    def now(self) -> datetime:
        return self.moment

    async def read(self) -> Keys:
        self.reads += 1
        await asyncio.sleep(0)
        if self.is_down:
            raise ProviderUnavailable("down")
        return keys_in({"keys": [DOCUMENTS[name] for name in self.names]})


@pytest.fixture
def source() -> Source:
    return Source()


@pytest.fixture
def keys(source: Source) -> SigningKeys:
    return SigningKeys(source, source.read)


@pytest.mark.case("SEED-101")
async def test_many_who_ask_at_once_and_later_are_answered_by_one_reading(source: Source, keys: SigningKeys) -> None:
    await asyncio.gather(*(keys.named("old") for _ in range(500)))
    for _ in range(500):
        await keys.named("old")
    assert source.reads == 1


@pytest.mark.case("SEED-101")
async def test_a_key_that_the_provider_took_back_counts_for_a_minute_at_most(source: Source, keys: SigningKeys) -> None:
    await keys.named("old")
    source.names = ["new"]
    source.moment += FRESH - timedelta(seconds=1)
    await keys.named("old")
    source.moment += timedelta(seconds=1)
    with pytest.raises(Unauthenticated):
        await keys.named("old")
    await keys.named("new")


@pytest.mark.case("SEED-101")
async def test_a_new_key_is_found_at_once_and_takes_the_place_of_what_was_there(
    source: Source, keys: SigningKeys
) -> None:
    await keys.named("old")
    source.names = ["new"]
    await keys.named("new")
    with pytest.raises(Unauthenticated):
        await keys.named("old")


async def test_made_up_ids_make_us_ask_no_more_than_is_bounded(source: Source, keys: SigningKeys) -> None:
    for number in range(100):
        with pytest.raises(Unauthenticated):
            await keys.named(f"made up {number}")
    assert source.reads == MOST_ASKED
    await keys.named("old")
    source.moment += timedelta(minutes=1)
    source.names = ["new"]
    await keys.named("new")


async def test_keys_count_for_a_while_when_the_provider_is_down_and_then_no_more(
    source: Source, keys: SigningKeys
) -> None:
    await keys.named("old")
    source.is_down = True
    source.moment += KEPT - timedelta(seconds=1)
    await keys.named("old")
    with pytest.raises(Unauthenticated):
        await keys.named("new")
    source.moment += timedelta(minutes=2)
    with pytest.raises(ProviderUnavailable):
        await keys.named("old")
    source.is_down = False
    source.moment += timedelta(minutes=1)
    await keys.named("old")


async def test_a_token_may_name_no_key_where_there_is_one_only(source: Source, keys: SigningKeys) -> None:
    await keys.named(None)
    source.names = ["old", "new"]
    source.moment += FRESH
    with pytest.raises(Unauthenticated):
        await keys.named(None)
