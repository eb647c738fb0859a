"""What an answer of a remote comes to: passed on as it is, or a failure with a code of ours."""

import msgspec

from isthmus.federator.calling import CallFailed, Reply
from isthmus.federator.nested import Told, media_type, told_by, wait_of

REFUSED_US = frozenset({401, 403})
JSON = "application/json"
SHUT = frozenset({"bridge_not_active", "incident_block"})


class RemoteSaidNo(CallFailed):
    """An answer, but none of success. `told` is what it says."""

    def __init__(self, code: str, told: Told, retry_after: int | None) -> None:
        nested = told.nested
        detail = f"the remote answered {nested.status}" + (f" {nested.code}" if nested.code else "")
        super().__init__(code, f"remote.{nested.code or nested.status}", detail, sent=True, heard=True)
        self.told = told
        self.retry_after = retry_after


def is_shut(reply: Reply) -> bool:
    """Whether the remote did nothing because it holds the bridge shut over which it was called."""
    return reply.status in REFUSED_US and told_by(reply).nested.code in SHUT


def judged(reply: Reply) -> Reply:
    """`reply` if it is a success in JSON. Raises `CallFailed`."""
    if reply.headers.get("content-encoding", "identity").lower() != "identity":
        raise _garbled("encoding", "an encoded answer, which nobody asked for")
    if 200 <= reply.status < 300:
        if media_type(reply) != JSON:
            raise _garbled("media_type", "an answer that is not JSON")
        try:
            # A raw value is checked, not built.
            msgspec.json.decode(reply.body, type=msgspec.Raw)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            raise _garbled("json", "an answer that is called JSON and is not") from None
        return reply
    if reply.status < 400:
        raise _garbled("redirect", f"the answer {reply.status}, which is not followed")
    told = told_by(reply)
    raise RemoteSaidNo("remote_rejected_us" if reply.status in REFUSED_US else "remote_error", told, wait_of(reply))


def _garbled(why: str, text: str) -> CallFailed:
    return CallFailed("remote_protocol_error", f"answer.{why}", f"the remote sent {text}", sent=True, heard=True)
