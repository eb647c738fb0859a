"""Calls of the component `handshake`: how two backends come to know each other, and how they part."""

from typing import Annotated, Literal

from msgspec import Meta, Struct

Code = Annotated[str, Meta(max_length=32)]
Signed = Annotated[str, Meta(max_length=64 * 1024)]
"""A bundle as a compact JWS; `isthmus.protocol.bundle` reads it."""


class Accept(Struct, frozen=True, forbid_unknown_fields=True):
    """`bundle` is that of the caller; its signature proves that the caller holds the key that it names. What is left
    out is as bad as what is wrong, and gets the same answer."""

    invitation: Annotated[str, Meta(max_length=36)] = ""
    secret: Annotated[str, Meta(max_length=128)] = ""
    bundle: Signed = ""


class Accepted(Struct, frozen=True):
    """`bundle` is that of the backend that invited."""

    bundle: Signed
    short_code: Code


class Confirm(Struct, frozen=True, forbid_unknown_fields=True):
    short_code: Code


class Notice(Struct, frozen=True, forbid_unknown_fields=True):
    """Messages of one `lane` carry consecutive numbers; a lane of its own lets revocations overtake the rest."""

    what: Literal["suspended", "resumed", "revoked", "bundle"]
    lane: Literal["state", "revocation"]
    number: Annotated[int, Meta(ge=1)]
    bundle: Signed = ""


class Standing(Struct, frozen=True):
    """How the two sides stand, as the side that answers sees it. `acknowledged` is the last number of the lane."""

    state: str
    acknowledged: int = 0
