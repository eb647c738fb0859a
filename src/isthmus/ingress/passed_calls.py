"""The line that nginx writes for each call which it has passed on, as it is rendered and as it is read again.

It goes to nginx's standard error, which is a pipe to `isthmus ingress run`: its own log has the line then. Neither a
body nor a secret is in it.
"""

import msgspec
from msgspec import Struct

from isthmus.ingress.syntax import Directive, line
from isthmus.protocol.ingress import Listener

WHERE = "/dev/stderr"
ONLY_PASSED = "if=$upstream_addr"
"""What the ingress refuses has no upstream, and is told in another way."""
BEGINNING = '{"request_id":"$isthmus_request_id","caller_request_id":"$isthmus_caller_request_id","listener":"'
# nginx begins its own lines with a date.
SIGN = BEGINNING.partition("$")[0]


class PassedCall(Struct, frozen=True):
    """`request_id` is ours, `caller_request_id` what the caller gave as its own. `seconds` are those until the last
    byte of the answer was sent."""

    request_id: str
    caller_request_id: str
    listener: str
    source: str
    path: str
    status: int
    seconds: float


def format_name(listener: Listener) -> str:
    return f"isthmus_call_{listener.id.replace('-', '_')}"


def call_format(listener: Listener) -> Directive:
    rest = '","source":"$remote_addr","path":"$isthmus_shown_path","status":$status,"seconds":$request_time}'
    return line("log_format", format_name(listener), "escape=json", f"{BEGINNING}{listener.id}{rest}")


def call_log(listener: Listener) -> Directive:
    return line("access_log", WHERE, format_name(listener), ONLY_PASSED)


def read_call(text: str) -> PassedCall | None:
    """The call that a line of nginx tells of; None if it tells of something else."""
    if not text.startswith(SIGN):
        return None
    try:
        return msgspec.json.decode(text, type=PassedCall)
    except msgspec.MsgspecError:
        return None
