"""What a backend does that was put back to an earlier state, before anybody hears of it."""

from datetime import datetime

from isthmus.domain.mesh.peer import Audience
from isthmus.server.application.caller import Caller
from isthmus.server.application.past import whole_state
from isthmus.server.ports import Transaction
from isthmus.server.records import Change

# Agents refuse a config that is older than theirs, and nobody knows how far theirs had come since the backup.
SKIPPED = 1_000_000


async def goes_on(tx: Transaction, caller: Caller, made_at: datetime, now: datetime) -> None:
    """Have every network go on far ahead of all that its agents were told, and write down that a backup of `made_at`
    was restored."""
    for found in await tx.networks.all():
        network = found.advanced(jumps=True, shared=True, by=SKIPPED)
        await tx.networks.save(network)
        state = whole_state(network, await tx.peers.of_network(network.id))
        change = Change(
            network.id, network.revision, "network.checkpoint", network.id, Audience.EVERYONE, now, state=state
        )
        await tx.journal.append(change)
        await tx.journal.set_history_begins(network.id, network.revision)
    await tx.journal.audit([caller.did("backup.restore", "backend", now, made_at=made_at.isoformat())])
