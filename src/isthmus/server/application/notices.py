"""Commits as the notices that people's screens get."""

from collections.abc import Iterable, Iterator
from datetime import datetime

from isthmus.domain.mesh.incident import Incident
from isthmus.domain.mesh.peer import Audience
from isthmus.protocol.notice import Notice
from isthmus.server.records import Commit

# A step of a peer that is named for what caused it: the incident has a notice of its own.
OF_THE_PEER = {"incident.opened": "peer.blocked", "incident.resolved": "peer.unblocked"}


def notices_of(commit: Commit, at: datetime) -> Iterator[Notice]:
    """What a commit makes known: its event, and each incident that was opened or resolved with it.

    A network that is gone has revision 0. A commit that changes something and names no event tells of its network as
    a whole.
    """
    network = str(commit.network_id)
    revision = 0 if commit.network is None else commit.network.revision
    if commit.event and not any(incident.id == commit.subject for incident in commit.incidents):
        subject = commit.network_id if commit.subject is None else commit.subject
        yield notice(network, revision, OF_THE_PEER.get(commit.event, commit.event), str(subject), at)
    elif not commit.event and _changes_something(commit):
        yield notice(network, revision, "network.changed", network, at)
    for incident in commit.incidents:
        yield notice(network, revision, told_of(incident), str(incident.id), at)


def notices_of_kinds(kinds: Iterable[str], at: datetime) -> Iterator[Notice]:
    """What a commit makes known of what belongs to no network: of each kind that some of it is other than before."""
    return (notice("", 0, f"{kind}.changed", "", at) for kind in sorted(kinds))


def _changes_something(commit: Commit) -> bool:
    return bool(commit.changed or commit.removed or commit.reload or commit.audience is not Audience.NOBODY)


def told_of(incident: Incident) -> str:
    return "incident.opened" if incident.is_open else "incident.resolved"


def notice(network: str, revision: int, event: str, subject: str, at: datetime) -> Notice:
    """The kind of the subject is the first word of the event."""
    return Notice(network, revision, event, event.partition(".")[0], subject, at)
