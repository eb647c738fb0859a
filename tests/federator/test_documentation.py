"""The page for operators knows every code and every setting."""

import re
import tomllib
from pathlib import Path

import msgspec

from isthmus.domain.federation.certificate import RULES
from isthmus.federator.settings import Settings, load
from isthmus.protocol.problem import STATUS

PAGE = (Path(__file__).parents[2] / "docs" / "operations" / "federation.md").read_text(encoding="utf-8")
CODES = PAGE.partition("## Troubleshooting by code")[2].partition("\n## ")[0]
FEDERATOR = PAGE.partition("## The Federator")[2].partition("\n## ")[0]


def test_every_code_is_explained_once_with_its_status() -> None:
    rows = re.findall(r"^\| `([a-z_]+)` \| (\d{3}) \| (.+) \| (.+) \|$", CODES, re.MULTILINE)
    assert sorted(code for code, *_ in rows) == sorted(STATUS)
    assert {code: int(status) for code, status, *_ in rows} == dict(STATUS)


def test_every_rule_of_the_profile_is_named() -> None:
    (line,) = (line for line in CODES.splitlines() if line.startswith("| `profile.<rule>`"))
    assert {*RULES, "dates", "trust_domain"} <= set(re.findall(r"`([a-z_]+)`", line))


def test_every_setting_of_the_federator_is_explained() -> None:
    explained = set(re.findall(r"`([a-z_]+)`", "".join(re.findall(r"^\| (`[^|]+) \| ", FEDERATOR, re.MULTILINE))))
    assert {field.name for field in msgspec.structs.fields(Settings)} <= explained


def test_the_example_of_the_settings_is_one(tmp_path: Path) -> None:
    (example,) = re.findall(r"```toml\n(.+?)```", FEDERATOR, re.DOTALL)
    assert set(tomllib.loads(example)) <= {field.name for field in msgspec.structs.fields(Settings)}
    file = tmp_path / "federator.toml"
    file.write_text(example)
    assert load(file, {}, {}).resolvers == ["192.0.2.53"]
