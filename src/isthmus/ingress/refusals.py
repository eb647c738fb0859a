"""Reading what nginx tells of the requests that it refused: one syslog datagram for each, with a JSON object in it.

What stands in it came from strangers: nginx escapes it, and here it is bounded and stripped of what is no text.
"""

import msgspec

from isthmus.protocol.ingress import Refusal
from isthmus.protocol.problem import STATUS

LARGEST = 8 * 1024
"""Bytes of a datagram; those of nginx stay below 2 KiB unless every byte in them had to be escaped."""
LONGEST = {"method": 16, "path": 256, "verify": 128, "host": 128, "listener": 64, "source": 64, "request_id": 36}


class Unreadable(ValueError):
    """A datagram that no ingress of ours has sent."""


def read_refusal(datagram: bytes) -> Refusal:
    """The refusal that a datagram of `run/refusals.sock` tells of. Raises `Unreadable`."""
    start = datagram.find(b"{")
    if start < 0 or len(datagram) > LARGEST:
        raise Unreadable("no JSON object, or too long")
    # nginx passes bytes above 127 on as they are, and a cut may split a character.
    text = datagram[start:].decode("utf-8", errors="replace").rstrip("\n")
    try:
        found = msgspec.json.decode(text, type=Refusal)
    except msgspec.MsgspecError as error:
        raise Unreadable(str(error)) from None
    if found.code not in STATUS or not 400 <= found.status <= 599:
        raise Unreadable(f"{found.code[:64]!r} with status {found.status} is no refusal")
    bounded = {name: _bounded(getattr(found, name), most) for name, most in LONGEST.items()}
    return msgspec.structs.replace(found, **bounded)


def _bounded(text: str, most: int) -> str:
    return "".join(each if each.isprintable() else "\N{REPLACEMENT CHARACTER}" for each in text[:most])
