"""The guide to the reverse proxy shows what is rendered, and what it shows passes the linter of the ingress."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from isthmus.ingress import rendering
from isthmus.ingress.nginx import DIGEST
from tools import proxy_guide

ROOT = proxy_guide.PAGE.parent.parent.parent


@pytest.fixture
def copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The guide where a test may spoil it."""
    page = tmp_path / "reverse-proxy.md"
    shutil.copy(proxy_guide.PAGE, page)
    shutil.copytree(proxy_guide.FOLDER, page.with_suffix(""))
    monkeypatch.setattr(proxy_guide, "PAGE", page)
    monkeypatch.setattr(proxy_guide, "FOLDER", page.with_suffix(""))
    return page


@pytest.mark.case("SEED-161")
@pytest.mark.parametrize("name", proxy_guide.KINDS)
def test_the_configurations_of_the_guide_are_the_rendered_ones_and_pass_the_linter(name: str) -> None:
    kind, files = rendering.read_rendered(proxy_guide.FOLDER / name)
    assert kind == proxy_guide.KINDS[name]
    assert rendering.lint(kind, files) == []
    assert files == proxy_guide.rendered(kind)


@pytest.mark.case("SEED-161")
def test_the_page_quotes_both_and_nothing_that_is_not_rendered() -> None:
    assert [*proxy_guide.stale()] == []
    quoted = proxy_guide.FENCED.findall(proxy_guide.PAGE.read_text(encoding="utf-8"))
    assert {language for language, _ in quoted} == {*proxy_guide.QUOTED}
    whole = "".join(text for _, text in quoted)
    for word in (
        "ssl_verify_client on",
        "proxy_pass_request_headers off",
        "RequireAndVerifyClientCert",
        "X-Sdwan-Network",
    ):
        assert word in whole


@pytest.mark.case("SEED-161")
def test_a_guide_that_says_something_else_fails_the_check(
    copied: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["proxy_guide", "--check"])
    assert proxy_guide.main() == 0
    right = copied.read_text(encoding="utf-8")
    copied.write_text(right.replace("ssl_verify_client on;", "ssl_verify_client optional;"), encoding="utf-8")
    assert proxy_guide.main() == 1
    assert "quotes what is not rendered" in capsys.readouterr().err
    copied.write_text(right, encoding="utf-8")
    config = copied.with_suffix("") / "nginx" / "nginx.conf"
    config.write_text(config.read_text().replace("ssl_verify_client on;", "ssl_verify_client optional;"))
    assert proxy_guide.main() == 1
    assert "nginx of the proxy guide is stale" in capsys.readouterr().err
    # The linter says what is wrong with it, beside that somebody changed it.
    findings = rendering.lint("nginx", rendering.read_files(config.parent))
    assert any("ssl_verify_client" in each for each in findings)
    assert any(DIGEST in each for each in findings)


def test_the_linters_look_at_the_guide() -> None:
    planned = subprocess.run(["make", "--dry-run", "lint"], cwd=ROOT, capture_output=True, text=True, check=True)
    assert "tools.proxy_guide --check" in planned.stdout
