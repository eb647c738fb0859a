"""Calls of the component `grants`: a backend tells another what it has granted to it. A token is never among it."""

from typing import Annotated, Literal

from msgspec import Meta, Struct

Id = Annotated[str, Meta(pattern=r"\A[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\Z")]
Text = Annotated[str, Meta(min_length=1, max_length=320, pattern=r"\A[^\x00-\x1f\x7f-\x9f]*\Z")]
Short = Annotated[str, Meta(min_length=1, max_length=63, pattern=r"\A[^\x00-\x1f\x7f-\x9f]*\Z")]
Scopes = Annotated[list[Literal["read", "write", "admin", "migrate", "connect"]], Meta(max_length=5)]
Port = Annotated[int, Meta(ge=1, le=65_535)]
Allowed = Annotated[list[Annotated[str, Meta(max_length=64)]], Meta(max_length=256)]
MOST_SERVICES = 256
MOST_LISTED = 10
"""A grant with all that it may hold has 70 KiB."""


class OfferedService(Struct, frozen=True, forbid_unknown_fields=True):
    """`network` is what its owner calls the network of the bridge; `ports` are ranges, both ends included."""

    name: Short
    network: Short
    protocol: Literal["tcp", "udp"]
    address: Annotated[str, Meta(max_length=45)]
    ports: Annotated[list[tuple[Port, Port]], Meta(min_length=1, max_length=64)]


class Tell(Struct, frozen=True, forbid_unknown_fields=True):
    """How a grant is now; `revision` grows with each change of it. Times are seconds since 1970. A list that is null
    restricts nothing, an empty one admits nothing; networks are those of the owner."""

    id: Id
    revision: Annotated[int, Meta(ge=1, le=2**53)]
    subject: Text
    kind: Short
    resource_id: Text | None
    scopes: Scopes
    issued_at: Annotated[float, Meta(ge=0, le=253_402_300_799)]
    expires_at: Annotated[float, Meta(ge=0, le=253_402_300_799)]
    instances: Allowed | None = None
    networks: Allowed | None = None
    sources: Allowed | None = None
    services: Annotated[list[OfferedService], Meta(max_length=MOST_SERVICES)] = []
    revoked: bool = False


class Told(Struct, frozen=True):
    """`revision` is the one that is known there now."""

    revision: int


class Get(Struct, frozen=True, forbid_unknown_fields=True):
    """`after` is the id of the last grant of the page before."""

    after: Id | None = None


class Granted(Struct, frozen=True):
    """`next` is what to ask with for the following page, null after the last."""

    grants: Annotated[list[Tell], Meta(max_length=MOST_LISTED)]
    next: Id | None = None
