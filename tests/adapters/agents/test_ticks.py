"""When streams are written to: whoever falls behind is, at whatever moment that happens."""

import asyncio
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

import pytest

from isthmus.domain.mesh.peer import Audience
from isthmus.server.adapters.agents import streams
from isthmus.server.adapters.agents.streams import StreamHub
from isthmus.server.records import Commit
from tests.builders import a_network, a_peer


async def test_a_change_at_the_very_end_of_a_tick_is_told_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """A task is over a moment before its callbacks run, and a commit may be told in that moment."""
    monkeypatch.setattr(streams, "TICK_SECONDS", 0)
    mesh: Any = SimpleNamespace(known=lambda _: None)
    hub = StreamHub(Mock(), mesh, Mock())
    loop, network, peer = asyncio.get_running_loop(), a_network(), a_peer()
    commit = Commit(network.id, network, changed=(peer,), audience=Audience.EVERYONE)
    written = 0

    def write(_: object) -> None:
        nonlocal written
        written += 1
        if written == 1:
            # Two turns of the loop later the tick has just found that nobody is behind.
            loop.call_soon(loop.call_soon, hub.changed, commit)

    hub._streams[network.id] = {peer.id: Mock(write=write, holds=0)}
    hub.changed(commit)
    for _ in range(10):
        await asyncio.sleep(0)
    assert written == 2
