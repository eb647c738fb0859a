"""Names of the federation: backend and infra domains, instances, components and the segments of a call."""

import re
from functools import lru_cache
from ipaddress import ip_address
from typing import NewType
from uuid import UUID

from isthmus.domain.errors import InvalidValue

BackendDomain = NewType("BackendDomain", str)
"""Qualifies a backend's names: lower-case A-labels, such as `example.com`."""

InfraDomain = NewType("InfraDomain", str)
"""Where a backend is reached and what its certificate proves; the same grammar."""

InstanceId = NewType("InstanceId", UUID)
"""A calling process of a backend, as the URI SAN of its leaf names it."""

LONGEST_DOMAIN = 253
LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
SEGMENT = re.compile(r"[a-z][a-z0-9-]{0,62}")
HANDLE = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")
# Canonical and lower-case: two spellings of one instance must not be two instances.
UUID_TEXT = r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
SPIFFE = re.compile(rf"spiffe://([a-z0-9.-]{{1,{LONGEST_DOMAIN}}})/(instance|invitation)/({UUID_TEXT})")
POWERNODE = re.compile(rf"powernode://instance/({UUID_TEXT})")


def is_domain(text: str) -> bool:
    """At least two labels of letters, digits and inner hyphens, no trailing dot, no IP address."""
    return 0 < len(text) <= LONGEST_DOMAIN and _is_domain(text)


# Of each call several names are asked for, mostly the same ones.
@lru_cache(maxsize=4096)
def _is_domain(text: str) -> bool:
    labels = text.split(".")
    # A last label of digits alone would be read as (a part of) an IPv4 address by some.
    return len(labels) >= 2 and all(map(LABEL.fullmatch, labels)) and not labels[-1].isdigit() and not _is_ip(text)


def _is_ip(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def backend_domain(text: str, field: str = "/domain") -> BackendDomain:
    """`text` as a backend domain. Raises `InvalidValue` for `field`."""
    if not is_domain(text):
        raise InvalidValue(field, "is no domain", "write lower-case labels with a dot between, such as example.com")
    return BackendDomain(text)


def infra_domain(text: str, field: str = "/infra_domain") -> InfraDomain:
    """`text` as an infra domain. Raises `InvalidValue` for `field`."""
    if not is_domain(text):
        hint = "write the DNS name that the ingress is reached at, such as infra.example.com"
        raise InvalidValue(field, "is no domain", hint)
    return InfraDomain(text)


def qualified(text: str, field: str = "/handle") -> tuple[str, BackendDomain]:
    """`alice@b.example` as handle and domain. Raises `InvalidValue` for `field`."""
    handle, at, domain = text.partition("@")
    if not at or not HANDLE.fullmatch(handle) or not is_domain(domain):
        raise InvalidValue(field, "is no qualified handle", "write it as alice@b.example")
    return handle, BackendDomain(domain)


def instance_uri(domain: BackendDomain, instance: InstanceId) -> str:
    return f"spiffe://{domain}/instance/{instance}"


def invitation_uri(domain: BackendDomain, invitation: UUID) -> str:
    return f"spiffe://{domain}/invitation/{invitation}"
