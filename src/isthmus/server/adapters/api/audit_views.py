"""What the API shows of the audit log, its chain, and what remotes witness of it."""

from base64 import b64encode
from dataclasses import asdict
from datetime import datetime
from typing import Annotated

from pydantic import Field

from isthmus.domain.audit import Seal
from isthmus.server.adapters.api.views import View
from isthmus.server.application.audit_log import Chain
from isthmus.server.application.audit_witness import Asked
from isthmus.server.audit_ports import LinkedRow, OwnSeal

Hash = Annotated[str, Field(pattern="^[0-9a-f]{64}$", description="SHA-256 in hexadecimal digits")]


class AuditView(View):
    number: int
    at: datetime
    actor: str
    action: str
    subject: str
    outcome: str
    reason: str | None
    request_id: str
    facts: dict[str, object]
    hash: Hash | None = Field(description="its link in the chain; null for the second that it takes to get one")

    @classmethod
    def of(cls, linked: LinkedRow) -> "AuditView":
        hash_ = None if linked.hash is None else linked.hash.hex()
        return cls(number=linked.row.number, hash=hash_, **asdict(linked.row.entry))


class HeadView(View):
    """A seal: at this time the row with this number had this hash."""

    number: int
    hash: Hash
    at: datetime
    key_id: str

    @classmethod
    def of(cls, seal: Seal) -> "HeadView":
        return cls(number=seal.number, hash=seal.hash.hex(), at=seal.at, key_id=seal.key_id)


class SealView(HeadView):
    """`previous` is the number of the seal before, 0 where this is the first, and `previous_hash` its hash. `signature`
    is by the Ed25519 key `public_key`, whose thumbprint (RFC 7638) is `key_id`; both in base64."""

    previous: int
    previous_hash: Hash
    public_key: str
    signature: str

    @classmethod
    def of_own(cls, own: OwnSeal) -> "SealView":
        head = HeadView.of(own.seal)
        return cls(
            number=head.number,
            hash=head.hash,
            at=head.at,
            key_id=head.key_id,
            previous=own.seal.previous,
            previous_hash=own.seal.previous_hash.hex(),
            public_key=b64encode(own.public_key).decode(),
            signature=b64encode(own.seal.signature).decode(),
        )


class ChainView(View):
    """How far the log is at this moment: the number that was given last, that of the last link with its hash, and that
    of the last seal. `domain` is what seals are made for, empty before there is one."""

    domain: str
    last: int
    linked: int
    hash: Hash
    sealed: int

    @classmethod
    def of(cls, chain: Chain) -> "ChainView":
        return cls(
            domain=chain.domain,
            last=chain.last,
            linked=chain.head.number,
            hash=chain.head.hash.hex(),
            sealed=chain.sealed,
        )


class AskedView(View):
    """What one remote holds of our log: how many heads, and those that the log does not contain. `problem` is the code
    of the refusal where it could not be asked, else empty."""

    domain: str
    heads: int
    contradicting: list[HeadView]
    problem: str

    @classmethod
    def of(cls, asked: Asked) -> "AskedView":
        contradicting = [HeadView.of(seal) for seal in asked.contradicting]
        return cls(domain=asked.domain, heads=asked.heads, contradicting=contradicting, problem=asked.problem)
