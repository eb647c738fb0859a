"""What is counted as it happens. Labels come from our own lists alone, so strangers cannot make another series."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
OTHER = "other"
NO_ROUTE = "none"
UNPROVEN = "unproven"
"""Whoever has not proven to be a remote that this backend has an entry of."""

MOST_REASONS = 500
"""There are fewer reasons than that; what would be one more is counted as `OTHER`."""

ANSWERED, DENIED = "answered", "denied"


@dataclass(frozen=True, slots=True)
class Counts:
    """So many since the start, by labels: method, route and status; caller and reason; remote and reason; remote,
    component and outcome."""

    requests: Mapping[tuple[str, str, str], int] = field(default_factory=dict)
    denials: Mapping[tuple[str, str], int] = field(default_factory=dict)
    federation_denials: Mapping[tuple[str, str], int] = field(default_factory=dict)
    federation_calls: Mapping[tuple[str, str, str], int] = field(default_factory=dict)


class Tally:
    """Exact: whatever has no series of its own is counted in one that stands for the rest."""

    def __init__(self) -> None:
        self._requests: Counter[tuple[str, str, str]] = Counter()
        self._denials: Counter[tuple[str, str]] = Counter()
        self._federation_denials: Counter[tuple[str, str]] = Counter()
        self._federation_calls: Counter[tuple[str, str, str]] = Counter()
        self._reasons: set[str] = set()

    def answered(self, method: str, route: str | None, status: int) -> None:
        """A request over HTTP; `route` is the template of the route, None where there is none."""
        self._requests[method if method in METHODS else OTHER, route or NO_ROUTE, str(status)] += 1

    def denied(self, actor: str, reason: str, many: int = 1) -> None:
        """Denials by the server itself; `actor` is that of the audit log, of which the kind counts."""
        self._denials[actor.partition(":")[0], self._known(reason)] += many

    def kept_out(self, remote: str, reason: str, many: int = 1) -> None:
        """Denials by the ingress and the Federator; `remote` is the name of an entry, or `UNPROVEN`."""
        self._federation_denials[remote, self._known(reason)] += many

    def called(self, remote: str, component: str, outcome: str) -> None:
        """A call that the Federator has admitted to a component; an empty `remote` has no entry."""
        self._federation_calls[remote or UNPROVEN, component, outcome] += 1

    def counts(self) -> Counts:
        """All counts at this moment."""
        return Counts(
            dict(self._requests), dict(self._denials), dict(self._federation_denials), dict(self._federation_calls)
        )

    def _known(self, reason: str) -> str:
        if reason not in self._reasons:
            if len(self._reasons) >= MOST_REASONS:
                return OTHER
            self._reasons.add(reason)
        return reason


def domain_of(actor: str) -> str | None:
    """The remote that an actor of the audit log is proven to be."""
    kind, _, name = actor.partition(":")
    return name.partition("/")[0] if kind == "remote" else None
