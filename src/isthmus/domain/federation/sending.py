"""Whether a call of ours may go to a remote at all, and in which version of the federated API."""

from collections.abc import Collection, Sequence

from isthmus.domain.federation.denial import Denied
from isthmus.domain.federation.names import BackendDomain
from isthmus.domain.federation.remote import Direction, State
from isthmus.domain.federation.view import Known, View

# The two sides keep in touch by these, whatever else they have agreed on.
CONTACT = frozenset({"handshake", "heartbeat", "bridges"})
NOTICE = ("handshake", "notice")
FIRST_VERSION = 0
"""What a remote speaks that lists no versions."""


def recipient(view: View, domain: BackendDomain, component: str, rpc: str, now: float) -> Known:
    """The remote that a call may be sent to: the first gate, before anybody asks DNS. Raises `Denied` with
    `target_denied`."""
    known = view.find(domain)
    if known is None:
        raise Denied("target_denied", "not_listed", f"{domain} is not on the allow list (strategy {view.strategy})")
    reason = _fault(known, component, rpc, now)
    if reason:
        name, text = reason
        raise Denied("target_denied", name, f"no {component} call may go to {domain}: {text}")
    return known


def _fault(known: Known, component: str, rpc: str, now: float) -> tuple[str, str] | None:
    if known.state in (State.SUSPENDED, State.REVOKED):
        # That they are, they may be told.
        return None if (component, rpc) == NOTICE else (f"remote_{known.state}", f"it is {known.state}")
    if known.is_expired(now):
        return "remote_expired", "its entry has expired"
    if component in CONTACT:
        return None
    if known.state is State.PENDING:
        return "remote_pending", "its short code is not confirmed on both sides"
    if not known.direction.has(Direction.OUT):
        return "direction", "calls are agreed in the other direction alone"
    if known.components is not None and component not in known.components:
        return "component", "the component is not among those agreed on"
    return None


def common_version(ours: Collection[int], theirs: Sequence[int]) -> int:
    """The highest version that both speak. Raises `Denied` with `unsupported_version`, which says who is older."""
    spoken = set(theirs) or {FIRST_VERSION}
    common = spoken & set(ours)
    if common:
        return max(common)
    older = "this backend" if max(ours, default=FIRST_VERSION) < max(spoken) else "the remote"
    detail = f"no common version of the federated API: {older} is older and has to be brought up to date"
    members = {"supported": sorted(spoken, reverse=True)[:16]}
    raise Denied("unsupported_version", "version.none_common", detail, members=members)
