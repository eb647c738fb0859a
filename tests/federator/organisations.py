"""Other backends as the Federator under test knows them: their CAs, leaves, message keys, and entries."""

from base64 import b64encode
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote
from uuid import UUID, uuid4

import msgspec

from isthmus.protocol.federator import Entry, Limits, Snapshot
from isthmus.protocol.message_key import MessageKey
from tests.x509.forge import Forged, a_leaf, a_uri, an_authority

PLENTY = Limits(1000, 1000, 1000, 1000, 100)


def text(raw: bytes) -> str:
    return b64encode(raw).decode()


def now() -> datetime:
    return datetime.now(UTC)


@dataclass
class Organisation:
    """A backend with a CA of its own. `name` is a letter: `a` is a.example, reached at infra.a.example."""

    name: str
    instance: UUID = field(default_factory=uuid4)
    message_key: MessageKey = field(default_factory=MessageKey.generate)

    def __post_init__(self) -> None:
        started = now() - timedelta(hours=1)
        self.ca = an_authority(f"CA of {self.name}", starts=started, ends=now() + timedelta(days=365))
        self.leaf = self.a_leaf()

    @property
    def domain(self) -> str:
        return f"{self.name}.example"

    @property
    def infra(self) -> str:
        return f"infra.{self.name}.example"

    def a_leaf(self, issuer: Forged | None = None, **fields: Any) -> Forged:
        """A leaf of this organisation that is right in everything that `fields` do not say otherwise."""
        right = {
            "names": (self.infra,),
            "uris": (a_uri(self.domain, self.instance),),
            "starts": now() - timedelta(minutes=5),
            "ends": now() + timedelta(hours=12),
        }
        return a_leaf(issuer or self.ca, **{**right, **fields})

    def entry(self, **fields: Any) -> Entry:
        """How a backend that federates with this one lists it."""
        right: dict[str, Any] = {
            "domain": self.domain,
            "generation": 1,
            "state": "active",
            "direction": "both",
            "trust": "pinned",
            "infra_domains": [self.infra],
            "authorities": [text(self.ca.der)],
            "message_keys": {self.message_key.id: text(self.message_key.public)},
            "bundle_sequence": 1,
            "limits": PLENTY,
        }
        return Entry(**{**right, **fields})


def a_snapshot(of: Organisation, *entries: Entry, **fields: Any) -> Snapshot:
    """What the server of `of` tells its Federator; the stage numbers it."""
    plain = Snapshot(
        generation=0,
        domain=of.domain,
        infra_domains=[of.infra],
        strategy="list",
        entries=list(entries),
        shared_roots=[],
        own_authorities=[text(of.ca.der)],
        versions=[0],
        service="isthmus-federator",
        ports=[443, 8443],
        bundle_sequence=1,
        stranger_limits=PLENTY,
    )
    return msgspec.structs.replace(plain, **fields)


def escaped(*leaves: Forged | bytes) -> str:
    """As nginx hands on a client certificate (`$ssl_client_escaped_cert`)."""
    return quote(b"".join(leaf if isinstance(leaf, bytes) else leaf.pem for leaf in leaves), safe="")
