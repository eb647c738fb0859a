"""Makes configs true on this host: observe, plan, carry out, remember."""

import asyncio
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import msgspec
import structlog

from isthmus.agent import bridge_rules, bridging
from isthmus.agent.bridging import Crossing
from isthmus.agent.desired import Desired, Neighbour, Role, read
from isthmus.agent.errors import ForeignInterface, ToolFailed
from isthmus.agent.guide import Found, Guide
from isthmus.agent.keys import Keys
from isthmus.agent.lease import Lease
from isthmus.agent.observed import HostState, Link
from isthmus.agent.plan import Plan, Target, plan, plan_of_ways, teardown, unanswered
from isthmus.agent.ports import NameServer, Net, Resolver, Sysctls, WireGuard
from isthmus.agent.state import Applied, StateDir
from isthmus.agent.steps import (
    AskOnLink,
    ConfigureWireGuard,
    CreateInterface,
    DropRules,
    EnableForwarding,
    ForgetLink,
    HonourMarks,
    HostStep,
    LinkStep,
    ListServers,
    LoadRules,
    LookupStep,
    MarkInterface,
    RestoreForwarding,
    RestoreMarks,
    Step,
    UnlistServers,
)
from isthmus.domain.addresses import Endpoint, IPAddress
from isthmus.domain.errors import Refusal
from isthmus.protocol import agent as wire
from isthmus.protocol.agent import MAX_CANDIDATES
from isthmus.wireguard.change import InterfaceChange
from isthmus.wireguard.keys import PrivateKey, PublicKey
from isthmus.wireguard.state import InterfaceState

log = structlog.get_logger()

MISTAKEN = "the server knows this host by a key that it does not have: enroll it anew"


@dataclass(frozen=True)
class Surroundings:
    """The host as the applier reaches it. `choose` finds the WireGuard for an interface as it is now."""

    choose: Callable[[Link | None], WireGuard]
    net: Net
    sysctls: Sysctls
    resolver: Resolver
    names: NameServer


class Applier:
    """One interface of this host. Only one thing is done to it at a time."""

    def __init__(self, interface: str, key: PrivateKey, state: StateDir, host: Surroundings) -> None:
        self.interface = interface
        self.applied = state.applied()
        self.first = None if self.applied else state.first()
        self.keys = Keys(state, key)
        self.guide: Guide = Found()
        self.moved = asyncio.Event()
        self.lease = Lease(state)
        self.is_shut = False
        self._crossings: tuple[Crossing, ...] = ()
        self._state = state
        self._host = host
        self._lock = asyncio.Lock()
        self._wireguard: WireGuard | None = None
        self._last: Mapping[PublicKey, Neighbour] | None = None
        self._seen: tuple[float, InterfaceState] | None = None
        self._local: tuple[IPAddress, ...] = ()
        identity = state.identity()
        self._alias = f"isthmus:{identity.peer_id if identity else ''}"

    @property
    def revision(self) -> int:
        """Of the config that was last made true, 0 for none."""
        return self.applied.revision if self.applied else 0

    async def plan(self, config: Applied) -> Plan:
        """What `apply` would do now."""
        opened = read(self.opened(config.config))
        host, _ = await self.observe()
        desired, missed = self._fitting(config.config, opened, host)
        target = replace(await self._target(desired), private_key=self.keys.fitting(config.config.public_key))
        work = plan(self.guide.follow(desired, host.wireguard), host, target)
        return replace(work, remarks=(*work.remarks, *missed))

    def opened(self, config: wire.Config) -> wire.Config:
        """`config` without what bridges add to it, unless their lease holds."""
        bridged = config.bridged
        return config if bridged is None or self.lease.left(bridged.lease) > 0 else bridging.shut(config)

    @property
    def lease_left(self) -> float | None:
        """Seconds for which what bridges opened stays open if the server is not heard; None while nothing is."""
        bridged = self.applied.config.bridged if self.applied else None
        return None if bridged is None or self.is_shut else self.lease.left(bridged.lease)

    def renew(self) -> None:
        """The server was heard."""
        self.lease.renew()
        if self.applied is not None and self.applied.config.bridged is not None:
            self.lease.keep()

    async def apply(self, config: Applied) -> Plan:
        """Make `config` true and return what that took. Once begun it is finished, even if the caller is cancelled."""
        return await asyncio.shield(asyncio.create_task(self._apply(config)))

    async def begin_again(self) -> bool:
        """Begin the handshake anew with every neighbour that never answered; returns whether there is one."""
        async with self._lock:
            if self._wireguard is None or self.applied is None:
                return False
            try:
                desired = read(self.applied.config)
                state = await self._wireguard.state(self.interface)
                changes = unanswered(desired, state)
                if changes:
                    await self._wireguard.change(self.interface, InterfaceChange(peers=changes))
            except (Refusal, ToolFailed) as error:
                log.debug("no handshake was begun anew", error=str(error))
                return False
        return bool(changes)

    async def take_down(self) -> Plan:
        """Leave nothing of ours on the host, and forget the config."""
        async with self._lock:
            host, wireguard = await self.observe()
            work = teardown(host, self._targeting())
            await self._host.names.serve(self.interface, None)
            missed = await self._carry_out(work.steps, wireguard)
            self._state.forget_applied()
            self.applied = self.first = self._last = None
            self._crossings = ()
            return replace(work, remarks=missed)

    async def settle(self) -> None:
        """Wait until nothing is being done."""
        async with self._lock:
            pass

    async def observe(self) -> tuple[HostState, WireGuard]:
        """The host as it is. Raises `ForeignInterface` where the interface is not ours."""
        host, lookups = await asyncio.gather(
            self._host.net.observe(self.interface), self._host.resolver.observe(self.interface)
        )
        host = replace(host, lookups=lookups)
        if host.link is not None and not self._owns(host.link):
            raise ForeignInterface(self.interface)
        self._local = host.local
        self._wireguard = wireguard = self._host.choose(host.link)
        if host.link is None:
            return host, wireguard
        return replace(host, wireguard=await wireguard.state(self.interface)), wireguard

    async def neighbours(self, within: float = 0.0) -> InterfaceState | None:
        """What WireGuard shows now, or showed `within` so many seconds; None while there is nothing to show."""
        if self._wireguard is None or self.applied is None:
            return None
        if self._seen is not None and time.monotonic() - self._seen[0] < within:
            return self._seen[1]
        try:
            return await self._look(self._wireguard)
        except ToolFailed:
            return None

    def flows(self) -> tuple[wire.FlowReport, ...]:
        """What has passed by each flow of the bridges that are open; nothing is asked where there are none."""
        if not self._crossings:
            return ()
        return tuple(bridge_rules.reports(self.interface, self._crossings, self.counted()))

    def counted(self) -> Mapping[str, tuple[int, int]]:
        """Packets and bytes by the names of the counters in our table; none where they cannot be read."""
        try:
            return self._host.net.counters()
        except ToolFailed as error:
            log.warning("what passed the bridges could not be read", error=str(error))
            return {}

    async def steer(self) -> int:
        """Look at the neighbours, and let packets take the ways that the guide then decides on; returns the steps."""
        async with self._lock:
            if self._wireguard is None or self.applied is None:
                return 0
            done, wireguard = 0, self._wireguard
            state = await self._look(wireguard)
            for desired in self.guide.look(state):
                steps = plan_of_ways(desired, state, self._targeting()).steps
                await self._carry_out(steps, wireguard)
                done += len(steps)
                self._last = desired.neighbours
                state = await self._look(wireguard)
            return done

    def candidates(self, state: InterfaceState) -> tuple[Endpoint, ...]:
        """Where others may try this host directly; none for a jump peer, which has a declared endpoint."""
        if not state.listen_port or self.applied is None or self.applied.config.forwarding.between_peers:
            return ()
        return tuple(Endpoint(str(address), state.listen_port) for address in self._local[:MAX_CANDIDATES])

    async def _look(self, wireguard: WireGuard) -> InterfaceState:
        state = await wireguard.state(self.interface)
        self._seen = time.monotonic(), state
        return state

    @property
    def reads_in_process(self) -> bool:
        """Whether `neighbours` starts no program, so that it may be asked between heartbeats."""
        return self._wireguard is not None and self._wireguard.reads_in_process

    async def _apply(self, config: Applied) -> Plan:
        async with self._lock:
            named = config.config.public_key
            self.keys.follow(named)
            shown = self.opened(config.config)
            opened = read(shown)
            host, wireguard = await self.observe()
            wanted, missed = self._fitting(config.config, opened, host)
            desired = self.guide.follow(wanted, host.wireguard)
            work = plan(desired, host, await self._target(wanted))
            missed += await self._carry_out(work.steps, wireguard)
            self.is_shut = shown is not config.config
            self._crossings = desired.bridged.crossings
            self._last = desired.neighbours
            missed += await self._host.names.serve(self.interface, desired.naming)
            if config != self.applied:
                self._state.save_applied(config)
                self.applied = config
            mistaken = (MISTAKEN,) if self.keys.is_mistaken(named) else ()
            return replace(work, remarks=(*work.remarks, *missed, *mistaken))

    def _fitting(self, config: wire.Config, opened: Desired, host: HostState) -> tuple[Desired, tuple[str, ...]]:
        """`opened`, that is `config` at this time, without the bridges that `host` has no place for, and remarks."""
        if not opened.bridged.prefixes:
            return opened, ()
        fitting, remarks = bridging.without_taken(config, host.foreign_routes)
        return (read(fitting) if remarks else opened), remarks

    def _owns(self, link: Link) -> bool:
        # Between making an interface and marking it, the note about the intention stands for the mark.
        return link.alias == self._alias or (not link.alias and self._state.undo().creating == self.interface)

    def _targeting(self) -> Target:
        undo = self._state.undo()
        return Target(
            self.interface,
            self._alias,
            self.keys.present,
            forwarding_changed=bool(undo.forwarding),
            marks_changed=bool(undo.marks),
            listing_changed=undo.resolv_conf is not None,
        )

    async def _target(self, desired: Desired) -> Target:
        named = (each.endpoint for each in desired.neighbours.values() if each.role is not Role.DIRECT)
        wanted = {endpoint for endpoint in named if endpoint is not None}
        return replace(self._targeting(), resolved=await self._resolve(wanted), last=self._last_neighbours())

    async def _resolve(self, endpoints: set[Endpoint]) -> dict[Endpoint, Endpoint]:
        asked = list(endpoints)
        found = await asyncio.gather(*(self._host.net.resolve(endpoint) for endpoint in asked))
        return {endpoint: answer for endpoint, answer in zip(asked, found, strict=True) if answer is not None}

    def _last_neighbours(self) -> Mapping[PublicKey, Neighbour]:
        if self._last is not None:
            return self._last
        if self.applied is None:
            return {}
        try:
            return dict(read(self.applied.config).neighbours)
        except Refusal:
            # Written by a newer version: then every endpoint counts as newly decided.
            return {}

    async def _carry_out(self, steps: Sequence[Step], wireguard: WireGuard) -> tuple[str, ...]:
        """What could not be done without the tunnel being any worse for it is returned in sentences."""
        missed: list[str] = []
        for group in _batches(steps):
            log.debug("carrying out", steps=list(map(str, group if isinstance(group, list) else [group])))
            if isinstance(group, LookupStep):
                try:
                    await self._look_up(group)
                except (ToolFailed, OSError) as error:
                    missed.append(f"could not {group}: {error}")
                continue
            if isinstance(group, HostStep):
                await self._do(group, wireguard)
                continue
            await self._host.net.apply(self.interface, group)
            if any(isinstance(step, MarkInterface) for step in group):
                self._state.save_undo(msgspec.structs.replace(self._state.undo(), creating=None))
        return tuple(missed)

    async def _do(self, step: HostStep, wireguard: WireGuard) -> None:
        match step:
            case CreateInterface(interface):
                self._state.save_undo(msgspec.structs.replace(self._state.undo(), creating=interface))
                await wireguard.create(interface)
            case ConfigureWireGuard(change):
                await wireguard.change(self.interface, change)
            case LoadRules(script) | DropRules(script):
                await self._host.net.load(script)
            case EnableForwarding() | RestoreForwarding() | HonourMarks() | RestoreMarks():
                self._set(step)

    async def _look_up(self, step: LookupStep) -> None:
        """Change where names are looked up, a file that changes kept first."""
        resolver = self._host.resolver
        match step:
            case AskOnLink(servers, domains):
                await resolver.ask_on_link(self.interface, servers, domains)
            case ForgetLink():
                await resolver.forget_link(self.interface)
            case ListServers(servers):
                earlier = self._state.undo().resolv_conf
                former = resolver.before_listing(self.interface, earlier)
                if earlier is not None and earlier.path != former.path:
                    resolver.unlist_servers(self.interface, earlier)
                self._state.save_undo(msgspec.structs.replace(self._state.undo(), resolv_conf=former))
                resolver.list_servers(self.interface, servers, former)
            case UnlistServers():
                resolver.unlist_servers(self.interface, self._state.undo().resolv_conf)
                self._state.save_undo(msgspec.structs.replace(self._state.undo(), resolv_conf=None))

    def _set(self, step: EnableForwarding | RestoreForwarding | HonourMarks | RestoreMarks) -> None:
        """Change settings of the host, the former ones written down first."""
        undo, sysctls = self._state.undo(), self._host.sysctls
        match step:
            case EnableForwarding(family):
                former = sysctls.before_forwarding(family) | undo.forwarding
                self._state.save_undo(msgspec.structs.replace(undo, forwarding=former))
                sysctls.enable_forwarding(family)
            case RestoreForwarding():
                sysctls.restore(undo.forwarding)
                self._state.save_undo(msgspec.structs.replace(undo, forwarding={}))
            case HonourMarks():
                former = sysctls.before_marks() | undo.marks
                self._state.save_undo(msgspec.structs.replace(undo, marks=former))
                sysctls.honour_marks()
            case RestoreMarks():
                sysctls.restore(undo.marks)
                self._state.save_undo(msgspec.structs.replace(undo, marks={}))


def _batches(steps: Sequence[Step]) -> Iterator[HostStep | LookupStep | list[LinkStep]]:
    """Neighbouring steps of the link together, every other step alone."""
    batch: list[LinkStep] = []
    for step in steps:
        if isinstance(step, LinkStep):
            batch.append(step)
            continue
        if batch:
            yield batch
        batch = []
        yield step
    if batch:
        yield batch
