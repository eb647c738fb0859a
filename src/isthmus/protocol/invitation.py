"""The text of an invitation: what one operator hands to the other, over a channel that both trust."""

import re
from base64 import b64decode, b64encode
from binascii import Error as NotBase64
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct

from isthmus.domain.errors import InvalidValue
from isthmus.domain.federation.bundle import Bundle, BundleRefused
from isthmus.protocol.bundle import open_first

BEGIN, END = "-----BEGIN ISTHMUS INVITATION-----", "-----END ISTHMUS INVITATION-----"
COLUMNS = 76
LONGEST = 64 * 1024
FIELD = "/invitation"
BLOCK = re.compile(f"{BEGIN}(.*?){END}", re.DOTALL)
PARTIAL = "paste all of it, from the line BEGIN to the line END"

Text = Annotated[str, Meta(max_length=32 * 1024)]
Name = Annotated[str, Meta(max_length=253)]


class Invitation(Struct, frozen=True):
    """`domain` invites `invited`. `bundle` is a compact JWS and `digest` what it says, in hex; `secret` may be used
    once, until `expires_at` (Unix seconds). `chain` and `key` are the leaf, in PEM, that speaks for whoever holds this
    text. It prints without its secrets."""

    version: Literal[1]
    id: Annotated[str, Meta(max_length=36)]
    domain: Name
    invited: Name
    infra_domains: Annotated[list[Name], Meta(min_length=1, max_length=16)]
    versions: Annotated[list[int], Meta(max_length=64)]
    bundle: Text
    digest: Annotated[str, Meta(max_length=64)]
    secret: Annotated[str, Meta(min_length=32, max_length=128)]
    expires_at: float
    chain: Text
    key: Text

    def __repr__(self) -> str:
        return f"Invitation({self.id}, {self.domain} invites {self.invited})"


def write(invitation: Invitation) -> str:
    """The text, ending with a line feed."""
    body = b64encode(msgspec.json.encode(invitation)).decode()
    lines = [body[start : start + COLUMNS] for start in range(0, len(body), COLUMNS)]
    return "\n".join((BEGIN, *lines, END, ""))


def read(text: str) -> tuple[Invitation, Bundle]:
    """The invitation in `text`, which may have words around it, and its bundle. Raises `InvalidValue`."""
    found = BLOCK.search(text[:LONGEST])
    if found is None:
        raise InvalidValue(FIELD, "is no invitation", PARTIAL)
    try:
        raw = b64decode("".join(found[1].split()), validate=True)
        invitation = msgspec.json.decode(raw, type=Invitation)
        bundle = open_first(invitation.bundle)
    except (NotBase64, ValueError, msgspec.MsgspecError, RecursionError):
        raise InvalidValue(FIELD, "is damaged", PARTIAL) from None
    except BundleRefused as refusal:
        raise InvalidValue(FIELD, f"carries a bundle that does not count: {refusal}", "ask for another one") from None
    said = (bundle.domain, list(bundle.infra_domains), bundle.digest.hex())
    if said != (invitation.domain, invitation.infra_domains, invitation.digest):
        raise InvalidValue(FIELD, "and the bundle in it say different things", "ask for another one")
    if bundle.revokes_everything:
        raise InvalidValue(FIELD, "comes from a backend that has revoked everything", "ask for another one")
    return invitation, bundle
