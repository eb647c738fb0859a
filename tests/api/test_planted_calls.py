"""A call of remotes that goes past the authorization chain stops the start of the server, by its name."""

from pathlib import Path

import pytest

from tests.api.planted_calls import PATH, PLANTS
from tests.api.test_start import check_refused, settings_of
from tests.server import refused_start, running

ROOT = Path(__file__).resolve().parent.parent.parent
EXTENSION = "tests.api.planted_calls"
NAMED = {
    "beside_the_gate": ("directory/get-everything", "is not behind the gate"),
    "outside_the_table": ("directory/get-everything", "the table of calls has no"),
    "without_a_scope": ("resources/get-everything", "must name a scope"),
    "on_the_listener_of_people": (PATH, "behind the gate alone"),
}


@pytest.mark.case("SEED-161")
@pytest.mark.parametrize("plant", NAMED)
def test_a_planted_call_without_the_chain_stops_the_start_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, plant: str
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("PLANTED", plant)
    check_refused(refused_start(settings_of(tmp_path, extensions=EXTENSION)), *NAMED[plant])


@pytest.mark.case("SEED-161")
def test_a_planted_call_behind_the_chain_starts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert {*PLANTS} == {*NAMED, "behind_the_gate"}
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("PLANTED", "behind_the_gate")
    with running(tmp_path, extensions=EXTENSION) as server, server.local() as local:
        assert local.get("/health/live").status_code == 200
