"""What a commit makes known to people's screens."""

from dataclasses import replace
from uuid import UUID

import pytest

from isthmus.domain.ids import IncidentId
from isthmus.domain.mesh.incident import Incident, SharedConfig, Type
from isthmus.domain.mesh.peer import Audience
from isthmus.server.application.notices import notices_of
from isthmus.server.records import Commit
from tests.builders import NOON, a_network, a_peer

NETWORK = replace(a_network(), revision=7)
PEER = a_peer()
INCIDENT = Incident(
    IncidentId(UUID(int=99)), NETWORK.id, PEER.id, PEER.name, Type.SHARED_CONFIG, SharedConfig(()), True, NOON
)
OPENED = ("incident.opened", "incident", str(INCIDENT.id))
RESOLVED = ("incident.resolved", "incident", str(INCIDENT.id))
OF_PEER = Commit(NETWORK.id, NETWORK, changed=(PEER,), event="peer.changed", subject=PEER.id)
WHOLE = ("network.changed", "network", str(NETWORK.id))


@pytest.mark.parametrize(
    ("commit", "told"),
    [
        (OF_PEER, [("peer.changed", "peer", str(PEER.id))]),
        (Commit(NETWORK.id, NETWORK, changed=(PEER,)), [WHOLE]),
        (Commit(NETWORK.id, NETWORK, removed=(PEER.id,)), [WHOLE]),
        (Commit(NETWORK.id, NETWORK, audience=Audience.EVERYONE), [WHOLE]),
        (Commit(NETWORK.id, NETWORK, ended=(PEER.id,)), []),
        (
            replace(OF_PEER, event="incident.opened", incidents=(INCIDENT,)),
            [("peer.blocked", "peer", str(PEER.id)), OPENED],
        ),
        (
            replace(OF_PEER, event="incident.resolved", incidents=(INCIDENT.resolved("ada", "a drill", NOON),)),
            [("peer.unblocked", "peer", str(PEER.id)), RESOLVED],
        ),
        (Commit(NETWORK.id, NETWORK, incidents=(INCIDENT,)), [OPENED]),
        (Commit(NETWORK.id, NETWORK, incidents=(INCIDENT,), event="incident.opened", subject=INCIDENT.id), [OPENED]),
    ],
)
def test_a_commit_is_told_as_what_it_is(commit: Commit, told: list[tuple[str, str, str]]) -> None:
    notices = list(notices_of(commit, NOON))
    assert [(each.event, each.subject_kind, each.subject) for each in notices] == told
    assert {(each.network, each.revision, each.at) for each in notices} <= {(str(NETWORK.id), 7, NOON)}


def test_a_network_that_is_gone_has_no_revision() -> None:
    (notice,) = notices_of(Commit(NETWORK.id, None, removed=(PEER.id,), event="network.deleted"), NOON)
    assert (notice.revision, notice.event, notice.subject) == (0, "network.deleted", str(NETWORK.id))
