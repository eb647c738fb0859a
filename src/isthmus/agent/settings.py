"""The agent's settings: a TOML file, overridden by ISTHMUS_AGENT_* variables. A mistake refuses the start."""

import difflib
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import msgspec

from isthmus.agent.errors import InvalidSettings

DEFAULT_FILE = Path("/etc/isthmus/agent.toml")
PREFIX = "ISTHMUS_AGENT_"
CONFIG_VARIABLE = PREFIX + "CONFIG"
# What Linux takes for an interface, nft for (part of) an identifier, and neither mistakes for an option.
INTERFACE = re.compile(r"[a-z][a-z0-9-]{0,14}")
LONGEST_INTERFACE = 15

RETIRED: dict[str, str] = {}
"""Settings of former releases, each with what to do now."""

Backend = Literal["auto", "kernel", "userspace"]
Dns = Literal["auto", "resolved", "resolv-conf", "off"]


class Settings(msgspec.Struct, frozen=True):
    """`interface` None is derived from the network's name; `ca_file` is in PEM, None trusts the system's CAs. `dns` is
    how programs of this host are told of the network's names: auto takes systemd-resolved where they ask it.
    """

    state_dir: str = "/var/lib/isthmus-agent"
    runtime_dir: str = "/run/isthmus-agent"
    interface: str | None = None
    backend: Backend = "auto"
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    ca_file: str | None = None
    allow_http: bool = False
    dns: Dns = "auto"


def load(file: Path | None, environment: Mapping[str, str]) -> Settings:
    """Read `file`, or the one that ISTHMUS_AGENT_CONFIG names, or the default one if it exists; then the variables.

    Raises `InvalidSettings`, which names key, place and remedy.
    """
    named = file or (Path(environment[CONFIG_VARIABLE]) if CONFIG_VARIABLE in environment else None)
    values: dict[str, Any] = {}
    source = named or DEFAULT_FILE
    if named is not None or source.exists():
        values = _read(source)
        _check(values, str(source), strict=True)
    variables = {
        name: value for name, value in environment.items() if name.startswith(PREFIX) and name != CONFIG_VARIABLE
    }
    overrides = {name.removeprefix(PREFIX).lower(): value for name, value in variables.items()}
    _check(overrides, "the environment", strict=False)
    settings = msgspec.convert(values | overrides, Settings, strict=False)
    if Path(settings.state_dir) == Path(settings.runtime_dir):
        place = str(source) if "state_dir" in values or "runtime_dir" in values else "the environment"
        remedy = "runtime_dir is the same folder, and what others may read must not lie there: set another one"
        raise InvalidSettings("state_dir", place, remedy)
    return settings


def _read(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise InvalidSettings("(file)", str(file), f"cannot be read: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InvalidSettings("(file)", str(file), f"is not TOML: {error}") from None


def _check(values: Mapping[str, Any], source: str, *, strict: bool) -> None:
    known = {field.name: field.type for field in msgspec.structs.fields(Settings)}
    for key, value in values.items():
        shown = key if strict else PREFIX + key.upper()
        if key in RETIRED:
            raise InvalidSettings(shown, source, f"is no longer a setting: {RETIRED[key]}")
        if key not in known:
            close = difflib.get_close_matches(key, known, n=1)
            remedy = f"did you mean {close[0]!r}?" if close else f"known are {', '.join(known)}"
            raise InvalidSettings(shown, source, f"is unknown; {remedy}")
        try:
            msgspec.convert(value, known[key], strict=strict)
        except msgspec.ValidationError as error:
            raise InvalidSettings(shown, source, f"{error}; mend it or remove it") from None
        if key == "interface" and value is not None and not INTERFACE.fullmatch(value):
            raise InvalidSettings(shown, source, "use up to 15 of a-z, 0-9 and -, a letter first")
