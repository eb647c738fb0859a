"""The reference of the federated API names every call that components answer, and no other; a stale page fails."""

import re
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from isthmus.protocol import federation as wire
from isthmus.protocol.problem import STATUS
from isthmus.server.adapters.components.plane import ComponentApp
from isthmus.server.adapters.db import open_store
from isthmus.server.main import assemble
from isthmus.server.settings import Settings
from tools import federated_api

ROOT = Path(__file__).resolve().parent.parent.parent
PARTS = (
    "- path: `POST /federation/",
    "- API versions: ",
    "**Request**",
    "**Response**",
    "- errors of its own: ",
    "- for: ",
)


def documented(page: str) -> set[tuple[str, str]]:
    return set(re.findall(r"^### ([a-z-]+)/([a-z-]+)$", page, re.MULTILINE))


@pytest.mark.case("SEED-030")
async def test_the_reference_names_what_the_components_answer_and_nothing_else(tmp_path: Path) -> None:
    """The components as the server puts them together, against the page in the repository."""
    store = await open_store(f"sqlite:///{tmp_path / 'isthmus.db'}")
    assembled = assemble(Settings(data_dir=tmp_path), store)
    answered = set()
    for name, app in assembled.federation.components.items():
        assert isinstance(app, ComponentApp)
        answered |= {(name, rpc) for rpc in app.calls}
    await store.close()
    page = federated_api.PAGE.read_text(encoding="utf-8")
    assert documented(page) == answered == set(wire.RPCS)
    for section in page.split("\n### ")[1:]:
        for part in PARTS:
            assert part in section, section.splitlines()[0]


@pytest.mark.case("SEED-030")
def test_a_call_that_is_not_documented_fails_the_check(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["federated_api", "--check"])
    assert federated_api.main() == 0
    more = {**wire.RPCS, ("directory", "get-everything"): wire.RPCS["directory", "get-instance"]}
    monkeypatch.setattr(federated_api, "RPCS", more)
    assert federated_api.main() == 1
    assert "stale" in capsys.readouterr().err


def test_the_linters_look_at_the_page() -> None:
    planned = subprocess.run(["make", "--dry-run", "lint"], cwd=ROOT, capture_output=True, text=True, check=True)
    assert "tools.federated_api --check" in planned.stdout


def test_every_code_of_the_page_is_one_of_the_frozen_list() -> None:
    own = {code for rpc in wire.RPCS.values() for code in rpc.errors}
    assert own | set(wire.ERRORS_OF_EVERY_CALL) | set(wire.ERRORS_OF_EVERY_MUTATION) <= STATUS.keys()


def test_a_type_that_the_page_has_no_words_for_is_told() -> None:
    class Odd(msgspec.Struct):
        when: bytes

    with pytest.raises(TypeError, match="add some here"):
        list(federated_api.fields_of(Odd))
