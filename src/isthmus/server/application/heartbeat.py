"""The component `heartbeat`: that we are there, what we speak, and whether we reach the one who asks."""

from isthmus import __version__
from isthmus.domain.federation.remote import State
from isthmus.protocol import heartbeat as wire
from isthmus.protocol.federation import API_VERSIONS, RPCS
from isthmus.server.application.audit_witness import Heads, WitnessService, heads_for
from isthmus.server.application.bridge_upkeep import heard_of
from isthmus.server.application.calls import Call, Component, Outside, Reading
from isthmus.server.application.grant_repair import summary_for
from isthmus.server.federation_ports import KnowsTrust
from isthmus.server.outward_ports import Errand, Outward, RemoteRefused
from isthmus.server.ports import Transaction

# Within the deadline of the call that asks for it.
CALL_BACK_SECONDS = 7.0
LONGEST = 255


class HeartbeatComponent:
    def __init__(self, outward: Outward, trust: KnowsTrust, witness: WitnessService) -> None:
        self._outward = outward
        self._trust = trust
        self._witness = witness

    def endpoints(self) -> Component:
        return {
            "beat": Reading(self._beat),
            "get-versions": Reading(self._versions),
            "get-audit-heads": Reading(self._audit_heads),
            "call-back": Outside(self._call_back),
        }

    async def _beat(self, call: Call, tx: Transaction) -> wire.BeatAnswer:
        """What we know of each other. What a queue has lost shows in the numbers of its lanes."""
        remote = call.permit.remote
        lanes = [] if remote is None else await tx.outbox.lanes(remote.id)
        heads = await heads_for(tx, remote)
        if remote is not None:
            self._witness.hear(remote, Heads(call.body.audit_head, call.body.audit_held))
        return wire.BeatAnswer(
            bundle_sequence=(await self._trust.trust()).bundle_sequence,
            known_sequence=0 if remote is None else remote.bundle_sequence,
            # Who has no entry was let in because everybody is.
            state=State.ACTIVE.value if remote is None else remote.state.value,
            received={state.lane.value: state.received for state in lanes},
            time=call.at.timestamp(),
            bridges={} if remote is None else await heard_of(tx, remote),
            grants="" if remote is None else await summary_for(tx, remote),
            audit_head=heads.own,
            audit_held=heads.held,
        )

    async def _audit_heads(self, call: Call, tx: Transaction) -> wire.AuditHeads:
        remote = call.permit.remote
        held = [] if remote is None else await tx.witnesses.of(remote.id)
        return wire.AuditHeads([witness.head for witness in held])

    async def _versions(self, call: Call, tx: Transaction) -> wire.Versions:
        return wire.Versions(list(API_VERSIONS), f"isthmus {__version__}", sorted(map("/".join, RPCS)))

    async def _call_back(self, call: Call) -> wire.CalledBack:
        errand = Errand(
            call.context.remote, "heartbeat", "get-versions", call.context.request_id, seconds=CALL_BACK_SECONDS
        )
        try:
            await self._outward.call(errand, wire.GetVersions(), wire.Versions)
        except RemoteRefused as refusal:
            detail = f"{refusal.problem.stage.value}: {refusal}"[:LONGEST]
            return wire.CalledBack(False, refusal.problem.code, printable(detail))
        return wire.CalledBack(True)


def printable(text: str) -> str:
    return "".join(each if each.isprintable() else "?" for each in text)
