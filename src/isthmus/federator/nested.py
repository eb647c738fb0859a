"""What remains of a remote's problem in ours: typed and bounded. Its own words go to the log alone."""

import re
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

from isthmus.federator.calling import Reply
from isthmus.protocol.problem import MOST_ALLOWED, Nested

CODE = re.compile(r"[a-z][a-z0-9_]{0,63}")
REQUEST_ID = re.compile(r"[A-Za-z0-9-]{1,64}")
PLAIN = re.compile(r"[^\x00-\x1f\x7f-\x9f]{0,200}")
LONGEST_WAIT = 86_400
LONGEST_DETAIL = 300
JSON = ("application/problem+json", "application/json")


class _Said(Struct):
    """A problem as a remote may word it. What has another type than it should counts as absent."""

    code: Any = ""
    request_id: Any = ""
    detail: Any = ""
    axis: Any = ""
    supplied: Any = ""
    allowed: Any = None
    allowed_total: Any = 0
    supported: Any = None


class Told(Struct, frozen=True):
    """`nested` goes to the caller; `detail` is the remote's text for operators, `supported` the versions it names."""

    nested: Nested
    detail: str
    supported: Annotated[list[int], Meta(max_length=16)]


def told_by(reply: Reply) -> Told:
    """What a reply that is no success says, whatever it looks like."""
    said = _Said()
    if media_type(reply) in JSON:
        try:
            said = msgspec.json.decode(reply.body, type=_Said)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            said = _Said()
    nested = Nested(status=reply.status, code=_text(said.code, CODE), request_id=_text(said.request_id, REQUEST_ID))
    if nested.code == "axis_denied":
        nested = msgspec.structs.replace(
            nested,
            axis=_text(said.axis, CODE),
            supplied=_text(said.supplied, PLAIN),
            allowed=[text for text in map(_plain, _list(said.allowed)) if text][:MOST_ALLOWED],
            allowed_total=_count(said.allowed_total),
        )
    supported = [number for number in _list(said.supported) if isinstance(number, int) and 0 <= number < 2**31]
    return Told(nested, _escaped(said.detail), supported[:16])


def media_type(reply: Reply) -> str:
    return reply.headers.get("content-type", "").partition(";")[0].strip().lower()


def wait_of(reply: Reply) -> int | None:
    """Seconds of `Retry-After`, where it is a number."""
    text = reply.headers.get("retry-after", "")
    return min(int(text), LONGEST_WAIT) if re.fullmatch(r"[0-9]{1,9}", text) else None


def _text(value: object, pattern: re.Pattern[str]) -> str:
    return value if isinstance(value, str) and pattern.fullmatch(value) else ""


def _plain(value: object) -> str:
    return _text(value, PLAIN)


def _list(value: object) -> list[object]:
    return value[: 4 * MOST_ALLOWED] if isinstance(value, list) else []


def _count(value: object) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= 2**31 else 0


def _escaped(value: object) -> str:
    return value[:LONGEST_DETAIL].encode("unicode_escape").decode("ascii") if isinstance(value, str) else ""
