"""Whatever step of a renewal or roll-over fails: readers find whole pairs that go together; the next turn mends."""

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from isthmus.server.adapters import material
from isthmus.server.certificate_ports import MaterialUnusable
from isthmus.server.ports import Store
from isthmus.x509 import pair_files
from tests.application.backend import ADA
from tests.application.own_certificates import DAY, HOUR, Own

STEPS = ("write_new", "move_in", "turn", "sync", "remove_others")


class Faults:
    """Makes the disk full at the step that it was set to, counted over all of `STEPS`."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.left: int | None = None
        self.hit = False
        for name in STEPS:
            spoilt = self.spoilt(getattr(pair_files, name))
            # Those who took the name over by import have it as their own.
            for module in (pair_files, material):
                if hasattr(module, name):
                    monkeypatch.setattr(module, name, spoilt)

    def at(self, step: int | None) -> None:
        self.left, self.hit = step, False

    def spoilt(self, work: Callable[..., Any]) -> Callable[..., Any]:
        def run(*args: Any, **kwargs: Any) -> Any:
            if self.left is not None:
                self.left -= 1
                if self.left < 0:
                    self.hit = True
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(args[0]))
            return work(*args, **kwargs)

        return run


async def survives(own: Own, faults: Faults, work: Callable[[], Any]) -> int:
    """Let `work` fail at its first step, its second, … until it does not fail; returns how many steps there were."""
    for step in range(200):
        faults.at(step)
        try:
            await work()
        except MaterialUnusable as told:
            assert "No space left" in str(told)  # noqa: PT017  # told only where it fails
        was_hit = faults.hit
        faults.at(None)
        await own.check()
        await own.later(HOUR / 60)
        await own.check()
        if not was_hit:
            return step
    raise AssertionError("it never came to its end")


async def test_a_renewal_that_fails_anywhere_leaves_whole_pairs(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own, faults = Own(store, tmp_path / "data"), Faults(monkeypatch)
    await own.begin()
    assert await survives(own, faults, lambda: own.service.renew(ADA)) > 10
    assert not list(own.places.federator_pair.parent.glob(".new-*"))


async def test_a_set_up_that_fails_anywhere_can_be_repeated(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own, faults = Own(store, tmp_path / "data"), Faults(monkeypatch)
    for step in range(200):
        faults.at(step)
        try:
            await own.begin()
        except MaterialUnusable:
            continue
        break
    assert step > 8
    await own.check()
    state = await own.service.state()
    assert (len(state.authorities), len(state.keys)) == (1, 1)


async def test_a_turn_of_authority_and_key_that_fails_is_made_good(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own, faults = Own(store, tmp_path / "data"), Faults(monkeypatch)
    await own.begin()
    for step in range(12):
        await own.service.roll_authority(ADA)
        await own.service.roll_key(ADA)
        own.clock.turn(own.schedule.ahead)
        faults.at(step)
        await own.service.work()
        faults.at(None)
        await own.later(HOUR / 60)
        await own.check()
        state = await own.service.state()
        assert own.message_key.id == state.signing().id
        assert (own.places.authority / "current").readlink().name == state.issuing().fingerprint.hex()[:32]
        await own.later(31 * DAY)
