"""Commits as the notices that people's screens get."""

from collections.abc import Iterator
from datetime import datetime

from isthmus.domain.mesh.incident import Incident
from isthmus.protocol.notice import Notice
from isthmus.server.records import Commit


def notices_of(commit: Commit, at: datetime) -> Iterator[Notice]:
    """What a commit makes known: its event, and each incident that was opened or resolved with it.

    A network that is gone has revision 0. A commit that names no event tells of its network as a whole.
    """
    network = str(commit.network_id)
    revision = 0 if commit.network is None else commit.network.revision
    event = commit.event or "network.changed"
    subject = commit.network_id if commit.subject is None else commit.subject
    yield notice(network, revision, event, str(subject), at)
    for incident in commit.incidents:
        if incident.id != subject:
            yield notice(network, revision, told_of(incident), str(incident.id), at)


def told_of(incident: Incident) -> str:
    return "incident.opened" if incident.is_open else "incident.resolved"


def notice(network: str, revision: int, event: str, subject: str, at: datetime) -> Notice:
    """The kind of the subject is the first word of the event."""
    return Notice(network, revision, event, event.partition(".")[0], subject, at)
