"""Settings of the server: a TOML file, then `ISTHMUS_*` variables, then the command line; unknown keys refuse start."""

import ipaddress
import os
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from isthmus.domain.accounts import Role
from isthmus.domain.addresses import MAX_PORT, Endpoint
from isthmus.protocol.places import MOST_REPLICAS

PREFIX = "ISTHMUS_"
# Variables with the same prefix that other processes and the command line read.
FOREIGN = (
    "ISTHMUS_AGENT_",
    "ISTHMUS_FEDERATOR_",
    "ISTHMUS_SERVER",
    "ISTHMUS_TOKEN",
    "ISTHMUS_CONFORMANCE",
    "ISTHMUS_CONFIG",
)
OIDC = "oidc"
LONGEST_SECRET = 4096
ORIGIN = r"^https?://[a-z0-9.:\[\]-]{1,260}$"
RETIRED: dict[str, str] = {"database_path": 'set database_url = "sqlite:///path" instead'}


Extension = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_.]{0,199}$")]
"""A Python module whose `register(kinds)` adds kinds of resources."""


class SettingsRefused(Exception):
    """A setting with a mistake; the text names the key, where it stands, and the remedy."""


class OidcSettings(BaseModel):
    """The identity provider that people may sign in with. `role` is what an account gets at its first sign-in, unless
    `roles` has one for a value of the claim `role_claim`; the first that fits counts."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    issuer: str = Field(max_length=500)
    client_id: str = Field(min_length=1, max_length=255)
    client_secret_file: Path | None = None
    audience: str | None = Field(default=None, min_length=1, max_length=255)
    scopes: tuple[str, ...] = ("openid", "profile", "email")
    name: str = Field(default="single sign-on", min_length=1, max_length=63, pattern=r"^[^\x00-\x1f\x7f]+$")
    role: Role = Role.USER
    role_claim: str = Field(default="groups", min_length=1, max_length=255)
    roles: dict[str, Role] = Field(default_factory=dict)

    @field_validator("issuer")
    @classmethod
    def _is_reached_by_tls(cls, value: str) -> str:
        parts = urlsplit(value)
        if parts.query or parts.fragment or not parts.hostname or not is_safe_url(value):
            raise ValueError("is not an https:// address; only on this machine it may be http://")
        return value

    @field_validator("scopes", mode="before")
    @classmethod
    def _listed(cls, value: object) -> object:
        """A variable holds them with commas between."""
        return tuple(filter(None, value.split(","))) if isinstance(value, str) else value

    @field_validator("scopes")
    @classmethod
    def _are_of_sign_in(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return value if "openid" in value else ("openid", *value)

    @field_validator("roles", mode="before")
    @classmethod
    def _mapped(cls, value: object) -> object:
        """A variable holds `value=role` with commas between."""
        if not isinstance(value, str):
            return value
        return {name: role for name, _, role in (each.rpartition("=") for each in value.split(",") if each)}

    def secret(self) -> str | None:
        """What is in the file of the client's secret; None for a public client. Raises `SettingsRefused`."""
        if self.client_secret_file is None:
            return None
        where = f"oidc.client_secret_file: {self.client_secret_file}"
        try:
            text = self.client_secret_file.read_text("utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            why = error.strerror if isinstance(error, OSError) else "it is no text"
            raise SettingsRefused(f"{where} cannot be read: {why}; let the server's user read it") from None
        if not 0 < len(text) <= LONGEST_SECRET:
            raise SettingsRefused(f"{where} holds no secret: put it there")
        return text


def is_safe_url(url: str) -> bool:
    """Whether what is sent there cannot be read on the way: by TLS, or to this machine."""
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
    except ValueError:
        return False
    if parts.scheme == "https":
        return bool(host)
    try:
        return parts.scheme == "http" and (host == "localhost" or ipaddress.ip_address(host).is_loopback)
    except ValueError:
        return False


class Settings(BaseModel):
    """`listen` is for everybody unless `agent_listen` gives the agents a listener of their own. `origins` are those
    under which browsers reach the UI; without any it is used at plain addresses and on this machine. `replicas` is how
    many Federators and ingresses run beside it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    data_dir: Path
    listen: str = "127.0.0.1:8080"
    agent_listen: str | None = None
    socket: Path | None = None
    database_url: str | None = None
    tls_certificate: Path | None = None
    tls_key: Path | None = None
    plaintext: Literal["loopback", "behind-proxy", "development"] = "loopback"
    domain_suffix: str = Field(default="internal", pattern=r"^[a-z0-9]([a-z0-9.-]{0,200}[a-z0-9])?$")
    extensions: tuple[Extension, ...] = ()
    history_revisions: int = Field(default=10_000, ge=5_000, le=10_000_000)
    replicas: int = Field(default=1, ge=1, le=MOST_REPLICAS)
    origins: tuple[Annotated[str, Field(pattern=ORIGIN)], ...] = ()
    connections_per_source: int = Field(default=256, ge=16, le=65_536)
    oidc: OidcSettings | None = None
    log_level: Literal["debug", "info", "warning", "error"] = "info"

    @field_validator("origins", "extensions", mode="before")
    @classmethod
    def _listed(cls, value: object) -> object:
        """A variable holds them with commas between."""
        return tuple(filter(None, value.split(","))) if isinstance(value, str) else value

    @property
    def local_socket(self) -> Path:
        return self.socket or self.data_dir / "server.sock"

    @property
    def database(self) -> str:
        return self.database_url or f"sqlite:///{self.data_dir / 'isthmus.db'}"


@dataclass(frozen=True, slots=True)
class Source:
    """Where a value came from, for messages."""

    name: str
    values: Mapping[str, Any]
    spelled: Callable[[str], str] = str


def default_data_dir(environment: Mapping[str, str]) -> Path:
    """/var/lib/isthmus for root, else the user's data folder (XDG)."""
    if os.geteuid() == 0:
        return Path("/var/lib/isthmus")
    home = environment.get("XDG_DATA_HOME") or str(Path.home() / ".local" / "share")
    return Path(home) / "isthmus"


def load(config: Path | None, given: Mapping[str, Any], environment: Mapping[str, str]) -> Settings:
    """Settings from all sources; the later one wins. Raises `SettingsRefused`."""
    sources = [_file(config), _environment(environment), Source("the command line", given)]
    merged: dict[str, Any] = {"data_dir": default_data_dir(environment)}
    origin = {}
    for source in sources:
        for key, value in source.values.items():
            if key in RETIRED:
                raise SettingsRefused(f"{source.name}: {key} is no longer a setting: {RETIRED[key]}")
            if key not in Settings.model_fields:
                known = ", ".join(sorted(Settings.model_fields))
                written = source.spelled(key)
                raise SettingsRefused(f"{source.name}: {written} is not a setting; remove it, or use one of: {known}")
            is_table = isinstance(value, dict) and isinstance(merged.get(key), dict)
            merged[key], origin[key] = {**merged[key], **value} if is_table else value, source.name
    try:
        settings = Settings(**merged)
    except ValidationError as error:
        # A mistyped key is told before that the right one is missing.
        first = min(error.errors(), key=lambda each: each["type"] != "extra_forbidden")
        key = ".".join(map(str, first["loc"][: 2 if first["loc"][0] == OIDC else 1]))
        place = origin.get(str(first["loc"][0]), "the defaults")
        raise SettingsRefused(f"{place}: {key}: {first['msg']}; mend it or remove it") from None
    try:
        _check_pairs(settings)
    except SettingsRefused as refused:
        places = {origin[key]: key for key in ("listen", "agent_listen", "tls_certificate", "tls_key") if key in origin}
        raise SettingsRefused(f"{', '.join(places)}: {refused}" if places else str(refused)) from None
    return settings


def _file(config: Path | None) -> Source:
    if config is None:
        return Source("the defaults", {})
    try:
        return Source(str(config), tomllib.loads(config.read_text()))
    except OSError as error:
        raise SettingsRefused(f"{config}: cannot be read: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsRefused(f"{config}: is not TOML: {error}") from None


def _environment(environment: Mapping[str, str]) -> Source:
    own: dict[str, Any] = {
        name.removeprefix(PREFIX).lower(): value
        for name, value in environment.items()
        if name.startswith(PREFIX) and not _is_foreign(name)
    }
    parts = {name: own.pop(name) for name in [*own] if name.startswith(f"{OIDC}_")}
    if parts:
        own[OIDC] = {name.removeprefix(f"{OIDC}_"): value for name, value in parts.items()}
    return Source("the environment", own, lambda key: PREFIX + key.upper())


def _is_foreign(name: str) -> bool:
    return name.startswith(FOREIGN) and name.removeprefix(PREFIX).lower() not in Settings.model_fields


def _check_pairs(settings: Settings) -> None:
    if (settings.tls_certificate is None) != (settings.tls_key is None):
        raise SettingsRefused("tls_certificate and tls_key belong together: set both, or neither")
    for key in ("listen", "agent_listen"):
        text = getattr(settings, key)
        if text is not None:
            _check_listener(key, text, settings)
    if settings.agent_listen == settings.listen:
        raise SettingsRefused("agent_listen and listen are the same address: leave agent_listen out to share it")


def _check_listener(key: str, text: str, settings: Settings) -> None:
    address = ipaddress.ip_address(listen_address(text, key).host)
    if settings.tls_certificate is None and settings.plaintext == "loopback" and not address.is_loopback:
        raise SettingsRefused(
            f"{key}: {text} can be reached from other hosts, and tokens would travel in clear: set tls_certificate and "
            'tls_key, or plaintext = "behind-proxy" where a TLS proxy stands before it, or plaintext = "development"'
        )


def listen_address(text: str, key: str = "listen") -> Endpoint:
    """An address of this host and a port; 0.0.0.0 and [::] stand for all addresses. Raises `SettingsRefused`."""
    host, _, port = text.rpartition(":")
    bare = host.removeprefix("[").removesuffix("]")
    try:
        address = ipaddress.ip_address(bare)
        if (host != bare) != (address.version == 6) or not 0 < int(port) <= MAX_PORT:
            raise ValueError(text)
    except ValueError:
        raise SettingsRefused(f"{key}: {text!r} is not ADDRESS:PORT, such as 127.0.0.1:8080 or [::1]:8080") from None
    return Endpoint(str(address), int(port))
