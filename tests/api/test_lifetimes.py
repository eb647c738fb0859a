"""Credentials end when their time or their use is over, and a host keeps none that it could lose."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx2
import pytest

from isthmus.agent import main as agent
from isthmus.agent.errors import EnrollmentRefused
from isthmus.agent.settings import Settings
from isthmus.agent.state import StateDir
from tests.api.inprocess import Inside, inside
from tests.application.backend import TurnedClock

MINUTE = timedelta(minutes=1)


async def token_for(admin: httpx2.AsyncClient, network: Any, name: str) -> str:
    """The enrollment token of a new peer, good for ten minutes."""
    body = {"name": name, "token_lifetime": 600}
    created = (await admin.post(f"/networks/{network['id']}/peers", json=body)).raise_for_status().json()
    return str(created["enrollment"]["token"])


async def enrolled(server: Inside, folder: Path, token: str) -> StateDir:
    """What `isthmus agent enroll` leaves in `folder`."""
    await agent.enroll(Settings(state_dir=str(folder)), f"http://{server.address}", token)
    return StateDir(folder)


async def state_and_denials(admin: httpx2.AsyncClient) -> tuple[Any, list[Any]]:
    """The peers without what changes by itself, and the audit rows of what was denied."""
    peers = (await admin.get("/peers")).raise_for_status().json()["items"]
    rows = (await admin.get("/audit", params={"limit": 500})).raise_for_status().json()["items"]
    return [{**peer, "status": None} for peer in peers], [row for row in rows if row["outcome"] == "denied"]


@pytest.mark.case("SEED-095")
async def test_tokens_end_with_their_time_and_a_host_keeps_its_key_and_a_session_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = TurnedClock()
    monkeypatch.setattr("isthmus.server.main.SystemClock", lambda: clock)
    async with inside(tmp_path) as server, await server.admin() as admin:
        network = (await admin.post("/networks", json={"name": "office"})).raise_for_status().json()
        used, unused = [await token_for(admin, network, name) for name in ("early", "late")]
        clock.turn(9 * MINUTE)
        host = await enrolled(server, tmp_path / "early", used)
        before, denied = await state_and_denials(admin)

        clock.turn(2 * MINUTE)
        with pytest.raises(EnrollmentRefused, match="enrollment_token_invalid"):
            await enrolled(server, tmp_path / "late", unused)
        after, rows = await state_and_denials(admin)
        assert after == before
        assert [row["reason"] for row in rows if row not in denied] == ["enrollment_token_invalid"]

        # All that is on the disk of the host.
        files = {path.name: path.read_text() for path in host.path.rglob("*") if path.is_file()}
        identity, key = host.enrolled()
        assert set(files) == {"private.key", "identity.json", "first.json"}
        assert files["private.key"].strip() == key.reveal()
        assert [name for name, content in files.items() if identity.session_token in content] == ["identity.json"]
        for secret in (used, unused, server.password):
            assert not any(secret in content for content in files.values())
        async with server.client(used) as client:
            assert (await client.get("/agent/config")).status_code == 401

        # The session is revocable: then there is nothing left that opens anything.
        async with server.client(identity.session_token) as client:
            assert (await client.get("/agent/config")).status_code == 200
            (await admin.delete(f"/peers/{identity.peer_id}/session")).raise_for_status()
            assert (await client.get("/agent/config")).status_code == 401
