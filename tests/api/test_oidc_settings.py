"""The settings of an identity provider: from a file and variables, and what is wrong is named."""

import re
from pathlib import Path

import pytest

from isthmus.server.settings import Settings, SettingsRefused, load
from tests.server import refused_start

PAGE = Path(__file__).parents[2] / "docs/operations/accounts.md"
FIELDS = {"ISTHMUS_OIDC_ISSUER": "https://id.example", "ISTHMUS_OIDC_CLIENT_ID": "c"}
WRONG = {
    "a key that there is not": ({"ISTHMUS_OIDC_ISUER": "https://id.example"}, "oidc.isuer"),
    "no client": ({"ISTHMUS_OIDC_ISSUER": "https://id.example"}, "oidc.client_id"),
    "an issuer without TLS": (FIELDS | {"ISTHMUS_OIDC_ISSUER": "http://id.example"}, "oidc.issuer"),
    "a role that is none": (FIELDS | {"ISTHMUS_OIDC_ROLE": "root"}, "oidc.role"),
    "a role of a group that is none": (FIELDS | {"ISTHMUS_OIDC_ROLES": "staff=root"}, "oidc.roles"),
    "a secret that is not there": (FIELDS | {"ISTHMUS_OIDC_CLIENT_SECRET_FILE": "/nowhere"}, "oidc.client_secret_file"),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_a_wrong_setting_is_refused_and_named(wrong: str) -> None:
    given, key = WRONG[wrong]
    with pytest.raises(SettingsRefused, match=key):
        secret_in(load(None, {}, given))


def secret_in(settings: Settings) -> str | None:
    assert settings.oidc is not None
    return settings.oidc.secret()


def test_a_mistyped_setting_refuses_the_start(tmp_path: Path) -> None:
    done = refused_start({"data_dir": str(tmp_path / "data"), "oidc_isuer": "https://id.example"})
    assert (done.returncode, "oidc.isuer" in done.stderr) == (1, True), done.stderr


def test_a_file_and_variables_make_one_table(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("s3cret\n")
    file = tmp_path / "server.toml"
    file.write_text('[oidc]\nissuer = "https://id.example"\nclient_id = "c"\n[oidc.roles]\n"mesh-admins" = "admin"\n')
    found = load(
        file, {}, {"ISTHMUS_OIDC_CLIENT_SECRET_FILE": str(tmp_path / "secret"), "ISTHMUS_OIDC_SCOPES": "groups"}
    )
    assert found.oidc is not None
    assert (found.oidc.client_id, found.oidc.secret()) == ("c", "s3cret")
    assert (found.oidc.scopes, found.oidc.roles, found.oidc.role) == (
        ("openid", "groups"),
        {"mesh-admins": "admin"},
        "user",
    )
    assert load(None, {}, {}).oidc is None


def test_the_example_of_the_documentation_is_taken(tmp_path: Path) -> None:
    (block,) = re.findall(r"```toml\n(.*?)```", PAGE.read_text(), re.DOTALL)
    (tmp_path / "server.toml").write_text(block)
    oidc = load(tmp_path / "server.toml", {}, {}).oidc
    assert oidc is not None
    assert (oidc.name, oidc.roles["staff"]) == ("Example ID", "auditor")
