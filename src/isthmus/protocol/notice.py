"""The push to people and their tools: that something changed, and where; never what. Whoever hears of it reads again.

`GET /api/v1/events` is a WebSocket on which the server alone speaks: one `Hello`, then `Notice`s, each a text frame of
JSON. `docs/operations/events.md` says how a reader stays right with them.
"""

from datetime import datetime

import msgspec
from msgspec import Struct

MANY = "network.many"
"""Stands for notices that a slow reader was not sent: all that it shows of the network may be old."""

LIVENESS = "network.liveness"
"""Several of the network's peers may be in another state than they were, because the server knows more or less."""


class Hello(Struct, frozen=True, tag="hello"):
    """First message: the present revision of every network that the reader will hear of, by network id.

    A reader that knows another revision of one, or knows one that is not here, has missed something of it.
    """

    revisions: dict[str, int]
    server_time: datetime


class Notice(Struct, frozen=True, tag="notice"):
    """`event` happened to `subject`, which is of the kind that the event begins with, as of `revision` of its network.

    What belongs to no network has an empty one, and no subject: some of its kind are other than before.
    Changes of configs count the revision up by one; what else happens comes under the revision that was there before.
    """

    network: str
    revision: int
    event: str
    subject_kind: str
    subject: str
    at: datetime


FromServer = Hello | Notice

encode = msgspec.json.Encoder().encode
decode = msgspec.json.Decoder(FromServer).decode

# How the server closes the stream; the numbers are those of the agents' stream.
CLOSE_ACCESS_ENDED = 4401
CLOSE_TOO_SLOW = 4408
CLOSE_GOING_AWAY = 1012
CLOSE_BROKEN = 1011
