"""Calls of the component `heartbeat`: that a remote is there, what it speaks, and that it can reach us."""

from typing import Annotated

from msgspec import Meta, Struct

from isthmus.protocol.audit import LONGEST_HEAD

MOST_HEADS = 64
Head = Annotated[str, Meta(max_length=LONGEST_HEAD)]
MOST_SUBJECTS = 512
Text = Annotated[str, Meta(max_length=255, pattern=r"\A[^\x00-\x1f\x7f-\x9f]*\Z")]


class Beat(Struct, frozen=True, forbid_unknown_fields=True):
    """`bundle_sequence` is that of the caller's own bundle, `known_sequence` what it knows of ours; `state` is what the
    caller makes of us. The digests let each side find what a queue has lost: lane → last number sent. `audit_head` is
    the head of the caller's audit log, `audit_held` the one that it holds of ours."""

    bundle_sequence: int
    known_sequence: int
    state: Annotated[str, Meta(max_length=16)]
    sent: Annotated[dict[str, int], Meta(max_length=8)]
    audit_head: Head = ""
    audit_held: Head = ""


class Heard(Struct, frozen=True):
    """The last that the side that answers has heard about a subject: the number of that word, and its digest."""

    revision: int
    digest: Annotated[str, Meta(max_length=64)]


class BeatAnswer(Struct, frozen=True):
    """`bridges` are those of the caller on which more may be heard of it: by id, what was heard last. `grants` stands
    for all that the side that answers has granted to the caller."""

    bundle_sequence: int
    known_sequence: int
    state: str
    received: dict[str, int]
    time: float
    audit_head: Head = ""
    audit_held: Head = ""
    bridges: Annotated[dict[str, Heard], Meta(max_length=MOST_SUBJECTS)] = {}
    grants: Annotated[str, Meta(max_length=64)] = ""


class GetAuditHeads(Struct, frozen=True, forbid_unknown_fields=True):
    """Ask for all heads of the caller's audit log that the other side holds."""


class AuditHeads(Struct, frozen=True):
    """In order of their numbers."""

    heads: Annotated[list[Head], Meta(max_length=2 * MOST_HEADS)]


class GetVersions(Struct, frozen=True, forbid_unknown_fields=True):
    pass


class Versions(Struct, frozen=True):
    """`calls` are all that this backend answers, as `component/rpc`; who may make them is another question."""

    versions: Annotated[list[int], Meta(max_length=64)]
    software: Text = ""
    calls: Annotated[list[Text], Meta(max_length=1024)] = []


class CallBack(Struct, frozen=True, forbid_unknown_fields=True):
    """Ask to be called: the answer tells how far such a call came."""


class CalledBack(Struct, frozen=True):
    """`code` is empty when the call came through, else that of the problem that it met."""

    ok: bool
    code: Text = ""
    detail: Text = ""
