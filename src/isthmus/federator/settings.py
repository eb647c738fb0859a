"""The Federator's settings: a TOML file, overridden by ISTHMUS_FEDERATOR_* variables. A mistake refuses the start."""

import difflib
import os
import pwd
import tomllib
from collections.abc import Callable, Mapping
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from isthmus.domain.addresses import IPAddress
from isthmus.domain.federation.names import is_domain
from isthmus.federator.resolving import parse_server
from isthmus.protocol.federator import SNAPSHOT_LIFE
from isthmus.protocol.places import MOST_REPLICAS, Places

PREFIX = "ISTHMUS_FEDERATOR_"
CONFIG_VARIABLE = PREFIX + "CONFIG"
# The server's own variable: processes of one backend share the folder.
DATA_VARIABLE = "ISTHMUS_DATA_DIR"

RETIRED: dict[str, str] = {}
"""Settings of former releases, each with what to do now."""

LISTS = frozenset({"resolvers", "allowed_private", "denied_addresses", "trusted_proxies"})

Seconds = Annotated[float, Meta(gt=0, le=120)]


class SettingsRefused(Exception):
    """A setting with a mistake; the text names the key, where it stands, and the remedy."""


class Settings(msgspec.Struct, frozen=True):
    """`certificate` and `key` None stand for the pair that the server keeps below `data_dir`. `infra_domain`, where it
    is set, must be a name of that certificate. `ingress` says whose headers tell of the caller. The users are names or
    numbers of those who may use the two sockets besides the user that the Federator runs as. `resolvers` are
    `ADDRESS` or `ADDRESS:PORT`, none for those of the system; `trust_resolvers` says that the network between leaves
    their answers as they are. `allowed_private` are private or loopback ranges that remotes may live in,
    `denied_addresses` hosts that are never dialled, such as that of the database. `trusted_proxies` are addresses of
    load balancers before the ingress, each by itself. For `snapshot_seconds` it goes on
    without the server. Of several beside one server, `replica` is its number."""

    data_dir: str
    replica: Annotated[int, Meta(ge=1, le=MOST_REPLICAS)] = 1
    certificate: str | None = None
    key: str | None = None
    infra_domain: str | None = None
    ingress: Literal["nginx", "traefik"] = "nginx"
    ingress_user: str | None = None
    component_user: str | None = None
    resolvers: list[str] = []
    trust_resolvers: bool = False
    allowed_private: list[str] = []
    denied_addresses: list[str] = []
    trusted_proxies: list[str] = []
    call_seconds: Seconds = 10.0
    snapshot_seconds: Annotated[float, Meta(ge=1, le=SNAPSHOT_LIFE)] = SNAPSHOT_LIFE
    drain_seconds: Seconds = 5.0
    log_level: Literal["debug", "info", "warning", "error"] = "info"

    @property
    def proxies(self) -> frozenset[IPAddress]:
        return frozenset(map(ip_address, self.trusted_proxies))

    @property
    def places(self) -> Places:
        return Places(Path(self.data_dir), self.replica)

    @property
    def pair(self) -> Path | tuple[Path, Path]:
        """The folder that holds the pair, or the two files."""
        if self.certificate is None or self.key is None:
            return self.places.federator_pair
        return Path(self.certificate), Path(self.key)


def default_data_dir(environment: Mapping[str, str]) -> str:
    """The server's: /var/lib/isthmus for root, else the user's data folder (XDG)."""
    if os.geteuid() == 0:
        return "/var/lib/isthmus"
    home = environment.get("XDG_DATA_HOME") or str(Path.home() / ".local" / "share")
    return str(Path(home) / "isthmus")


def load(config: Path | None, given: Mapping[str, Any], environment: Mapping[str, str]) -> Settings:
    """Settings from the file, the variables, then `given` by the command line. Raises `SettingsRefused`."""
    file = config or (Path(environment[CONFIG_VARIABLE]) if CONFIG_VARIABLE in environment else None)
    values: dict[str, Any] = {"data_dir": environment.get(DATA_VARIABLE) or default_data_dir(environment)}
    read = {} if file is None else _checked(_read(file), str(file), strict=True)
    variables = {
        name.removeprefix(PREFIX).lower(): value
        for name, value in environment.items()
        if name.startswith(PREFIX) and name != CONFIG_VARIABLE
    }
    found = {
        str(file): read,
        "the environment": _checked(variables, "the environment", strict=False),
        "the command line": _checked(given, "the command line", strict=True),
    }
    origins = {key: source for source, keys in found.items() for key in keys}
    for keys in found.values():
        values |= keys
    settings = msgspec.convert(values, Settings)
    _check_together(settings, origins)
    return settings


def _check_together(settings: Settings, origins: Mapping[str, str]) -> None:
    """What types do not say, and what goes together. Raises `SettingsRefused`."""
    if (settings.certificate is None) != (settings.key is None):
        there, missing = ("certificate", "key") if settings.key is None else ("key", "certificate")
        raise SettingsRefused(
            f"{origins[there]}: {there} is set and {missing} is not: set both, or neither for the pair that the server "
            "keeps"
        )
    if settings.infra_domain is not None and not is_domain(settings.infra_domain):
        raise SettingsRefused(
            f"{origins['infra_domain']}: infra_domain is no domain: write the name of the ingress, such as "
            "infra.example.com"
        )
    _check_addresses(settings, origins)
    for key in ("ingress_user", "component_user"):
        try:
            user_id(getattr(settings, key), key)
        except SettingsRefused as refused:
            raise SettingsRefused(f"{origins[key]}: {refused}") from None


def _check_addresses(settings: Settings, origins: Mapping[str, str]) -> None:
    """That the texts can be read as what they are to be. Raises `SettingsRefused`."""
    readers: Mapping[str, tuple[Callable[[str], object], str]] = {
        "resolvers": (parse_server, "an address such as 192.0.2.53 or 192.0.2.53:5353"),
        "allowed_private": (ip_network, "a range such as 10.20.0.0/16"),
        "denied_addresses": (ip_address, "an address such as 192.0.2.5"),
        # A range would let every host in it say who calls: one that covers an overlay, every peer.
        "trusted_proxies": (
            ip_address,
            "the address of each load balancer, such as 192.0.2.5, never a range",
        ),
    }
    for key, (read, expected) in readers.items():
        for text in getattr(settings, key):
            try:
                read(text)
            except ValueError:
                message = f"{origins[key]}: {key}: {text!r} cannot be read: write {expected}"
                raise SettingsRefused(message) from None


def user_id(user: str | None, key: str) -> int:
    """The number of a user that a setting names; None is the user that runs this. Raises `SettingsRefused`."""
    if user is None:
        return os.geteuid()
    if user.isdecimal():
        return int(user)
    try:
        return pwd.getpwnam(user).pw_uid
    except KeyError:
        raise SettingsRefused(f"{key}: this machine has no user {user!r}: set the name or number of one") from None


def _read(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingsRefused(f"{file}: cannot be read: {error.strerror}; set {CONFIG_VARIABLE} right") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsRefused(f"{file}: is not TOML: {error}") from None


def _checked(values: Mapping[str, Any], source: str, *, strict: bool) -> dict[str, Any]:
    known = {field.name: field.type for field in msgspec.structs.fields(Settings)}
    checked = {}
    for key, value in values.items():
        shown = key if strict else PREFIX + key.upper()
        if key in RETIRED:
            raise SettingsRefused(f"{source}: {shown} is no longer a setting: {RETIRED[key]}")
        if key not in known:
            close = difflib.get_close_matches(key, known, n=1)
            remedy = f"did you mean {close[0]}?" if close else f"remove it, or use one of: {', '.join(sorted(known))}"
            raise SettingsRefused(f"{source}: {shown} is not a setting; {remedy}")
        try:
            checked[key] = msgspec.convert(_from_text(key, value), known[key], strict=strict)
        except msgspec.ValidationError as error:
            raise SettingsRefused(f"{source}: {shown}: {error}; mend it or remove it") from None
    return checked


def _from_text(key: str, value: Any) -> Any:
    """A variable holds a list as words between commas; a number of a user may be written as one."""
    if key in LISTS and isinstance(value, str):
        return [word.strip() for word in value.split(",") if word.strip()]
    if key.endswith("_user") and type(value) is int:
        return str(value)
    return value
