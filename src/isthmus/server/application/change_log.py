"""What changed in a network lately, and for whom: from any revision that it still knows, the way to the present."""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field

from isthmus.domain.ids import PeerId, PublicKey
from isthmus.domain.mesh.peer import Audience

MOST = 4_096


@dataclass(frozen=True, slots=True)
class Entry:
    """One revision. `peer` changed, and others knew it by `keys`, before and after.

    `ways`: jump peers or ranges behind peers changed, on which every regular peer's ways and routes depend.
    `bridged`: so did what active bridges add.
    """

    revision: int
    audience: Audience
    peer: PeerId | None = None
    keys: tuple[PublicKey, ...] = ()
    ways: bool = False
    bridged: bool = False


@dataclass(slots=True)
class _Track:
    """The entries that one kind of peer is told, oldest first, with their revisions beside them."""

    entries: list[Entry] = field(default_factory=list)
    revisions: list[int] = field(default_factory=list)


class ChangeLog:
    """Bounded: a revision older than `floor` is not known any more."""

    def __init__(self, floor: int) -> None:
        self.floor = floor
        self._jump = _Track()
        self._regular = _Track()

    def add(self, entry: Entry) -> None:
        if entry.audience is Audience.NOBODY:
            return
        self._append(self._jump, entry)
        if entry.audience is Audience.EVERYONE:
            self._append(self._regular, entry)

    def forget(self, revision: int) -> None:
        """What was before `revision` leads nowhere: everyone needs a whole config."""
        self.floor = revision
        self._jump, self._regular = _Track(), _Track()

    def since(self, revision: int, *, is_jump: bool) -> Sequence[Entry] | None:
        """All that a peer at `revision` has not heard of, None where that is not known any more."""
        if revision < self.floor:
            return None
        track = self._jump if is_jump else self._regular
        return track.entries[bisect_right(track.revisions, revision) :]

    def anchor(self, revision: int, *, is_jump: bool) -> int:
        """The lowest revision from which the same entries follow: whoever stands between the two can share a delta."""
        track = self._jump if is_jump else self._regular
        index = bisect_right(track.revisions, revision)
        return track.revisions[index - 1] if index else self.floor

    def _append(self, track: _Track, entry: Entry) -> None:
        track.entries.append(entry)
        track.revisions.append(entry.revision)
        if len(track.entries) > 2 * MOST:
            self.floor = max(self.floor, track.revisions[MOST - 1])
            del track.entries[:MOST], track.revisions[:MOST]
