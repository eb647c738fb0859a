"""A network template: settings that new networks start with, under a name."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import datetime
from ipaddress import IPv4Network
from typing import Any

from isthmus.domain.addresses import parse_domain, parse_label, parse_network
from isthmus.domain.errors import InvalidValue
from isthmus.domain.ids import TemplateId
from isthmus.domain.mesh.limits import Limits
from isthmus.domain.mesh.network import V4_NARROWEST, V4_WIDEST, Settings, check_between, parse_upstreams

POOL = IPv4Network("10.0.0.0/8")
SETTINGS = frozenset(item.name for item in fields(Settings))
# What no network has, for it is what two networks cannot share: where their addresses and names come from.
SOURCES = frozenset({"domain_suffix", "cidr_prefix", "cidr_pool"})


@dataclass(frozen=True, slots=True)
class Template:
    """`settings` are the named ones of a network, as JSON, and those of `SOURCES`; what it does not name, it leaves to
    the defaults."""

    id: TemplateId
    name: str
    settings: Mapping[str, Any]
    created_at: datetime
    version: int = 1

    @property
    def of_network(self) -> dict[str, Any]:
        """The settings that a network takes over as they are."""
        return {name: value for name, value in self.settings.items() if name not in SOURCES}

    @property
    def sources(self) -> "Sources":
        return Sources.of(self.settings)


@dataclass(frozen=True, slots=True)
class Sources:
    """Where a new network gets what is its own: a CIDR of `prefix` from `pool` (prefix None: no IPv4), and the domain
    below `suffix` (None: the server's)."""

    prefix: int | None = None
    pool: IPv4Network = POOL
    suffix: str | None = None

    @classmethod
    def of(cls, settings: Mapping[str, Any]) -> "Sources":
        prefix, suffix, pool = settings.get("cidr_prefix"), settings.get("domain_suffix"), settings.get("cidr_pool")
        return cls(prefix, POOL if pool is None else _parse_pool(pool), suffix)


def _parse_pool(text: str) -> IPv4Network:
    pool = parse_network(text, "/cidr_pool")
    if not isinstance(pool, IPv4Network):
        raise InvalidValue("/cidr_pool", "is not IPv4", "every network has an IPv6 /64 by itself")
    return pool


def parse_name(text: str) -> str:
    return parse_label(text, "/name")


def parse_settings(settings: Mapping[str, Any]) -> Mapping[str, Any]:
    """`settings` without those that are None, checked as those of a network are."""
    given = {name: value for name, value in settings.items() if value is not None}
    Settings(**{name: value for name, value in given.items() if name in SETTINGS})
    parse_upstreams(given.get("dns_upstreams", ()))
    Limits.of(given.get("limits", {}))
    sources = Sources.of(given)
    if sources.suffix is not None:
        # The longest name of a network has to fit in front of it.
        parse_domain(f"{'x' * 63}.{sources.suffix}", "/domain_suffix")
    if sources.prefix is not None:
        check_between("/cidr_prefix", sources.prefix, max(V4_WIDEST, sources.pool.prefixlen), V4_NARROWEST)
    elif "cidr_pool" in given:
        raise InvalidValue("/cidr_prefix", "is needed to take a CIDR from the pool", "for example 24")
    return given
