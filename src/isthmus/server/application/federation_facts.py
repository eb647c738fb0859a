"""What this backend is to others: set up once, changed by operators, published in DNS by them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from ipaddress import ip_address

from isthmus.domain.errors import InvalidValue, NotFound, TransitionNotAllowed
from isthmus.domain.federation.names import LABEL, BackendDomain, InfraDomain, backend_domain, infra_domain
from isthmus.domain.federation.remote import Strategy
from isthmus.protocol.federation import DEFAULT_SERVICE
from isthmus.protocol.ingress import WAN, Listener
from isthmus.server.application.caller import Caller
from isthmus.server.application.federation_changes import FederationChanges
from isthmus.server.application.networks import check_version, named_fields
from isthmus.server.application.patch import UNSET, Maybe, Unset, chosen
from isthmus.server.federation_ports import OwnCertificates
from isthmus.server.federation_records import DEFAULT_PORT, Federation
from isthmus.server.ports import Clock, Store
from isthmus.x509.leaf import read_leaf, read_one_pem

DEFAULT_LISTEN = f"0.0.0.0:{DEFAULT_PORT}"
MOST_INFRA_DOMAINS = 16
MOST_PORTS = 32
MOST_ROOTS = 64
TTL = 300
PEM_BEGIN, PEM_END = "-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----"


@dataclass(frozen=True, slots=True)
class Draft:
    """What `init` takes. `listen` is the address and port of the ingress's listener for everybody."""

    domain: str
    infra_domains: Sequence[str]
    strategy: Strategy = Strategy.LIST
    service: str = DEFAULT_SERVICE
    listen: str = DEFAULT_LISTEN


@dataclass(frozen=True, slots=True)
class Update:
    """What shall be other; `shared_roots` is PEM, any number of certificates."""

    infra_domains: Maybe[Sequence[str]] = UNSET
    strategy: Maybe[Strategy] = UNSET
    service: Maybe[str] = UNSET
    listen: Maybe[str] = UNSET
    ports: Maybe[Sequence[int]] = UNSET
    shared_roots: Maybe[str] = UNSET


class FederationService:
    def __init__(self, store: Store, clock: Clock, changes: FederationChanges, certificates: OwnCertificates) -> None:
        self._store = store
        self._clock = clock
        self._changes = changes
        self._certificates = certificates

    async def get(self) -> Federation:
        """Raises `NoFederation` before `init`."""
        facts = await self._found()
        if facts is None:
            raise no_federation()
        return facts

    async def init(self, caller: Caller, draft: Draft) -> Federation:
        """Make CA, leaves and keys, and say who we are. Once."""
        facts = Federation(
            domain=backend_domain(draft.domain),
            infra_domains=parse_infra_domains(draft.infra_domains),
            strategy=draft.strategy,
            service=parse_service(draft.service),
            listeners=(parse_listen(draft.listen),),
        )
        present = await self._found()
        if present is not None:
            raise set_up_already(present)
        await self._certificates.prepare(facts.domain, facts.infra_domains)
        async with self._changes.transaction() as tx:
            present = await tx.federation.get()
            if present is not None:
                raise set_up_already(present)
            await tx.federation.add(facts)
            told = {"infra_domains": list(facts.infra_domains), "strategy": facts.strategy.value}
            await tx.journal.audit([caller.did("federation.init", facts.domain, self._clock.now(), **told)])
        return await self.get()

    async def update(self, caller: Caller, update: Update, version: int | None) -> Federation:
        """Change the facts. Other infra domains come with new leaves, which are there before anybody is told."""
        if not isinstance(update.infra_domains, Unset):
            wanted = parse_infra_domains(update.infra_domains)
            await self._certificates.prepare((await self.get()).domain, wanted)
        afterwards: list[Callable[[], None]] = []
        async with self._store.transaction() as tx:
            if not isinstance(update.strategy, Unset):
                # Before the facts, as everybody locks them: the strategy may close what all of them have of bridges.
                await tx.networks.lock_all()
            before = await tx.federation.lock()
            check_version(before.version, version)
            after = changed(before, update)
            if after != before:
                after = replace(after, version=before.version + 1)
                await tx.federation.save(after)
            everybody = await tx.remotes.all() if after.strategy is not before.strategy else []
            await self._changes.within(tx, afterwards, *(remote.domain for remote in everybody))
            fields = named_fields(update)
            await tx.journal.audit([caller.did("federation.update", after.domain, self._clock.now(), fields=fields)])
        for each in afterwards:
            each()
        return await self.get()

    async def _found(self) -> Federation | None:
        async with self._store.reading() as tx:
            return await tx.federation.get()


def changed(before: Federation, update: Update) -> Federation:
    infra = chosen(update.infra_domains, before.infra_domains)
    others = tuple(each for each in before.listeners if each.network != WAN)
    listeners = before.listeners if isinstance(update.listen, Unset) else (parse_listen(update.listen), *others)
    roots = before.shared_roots if isinstance(update.shared_roots, Unset) else parse_roots(update.shared_roots)
    return replace(
        before,
        infra_domains=parse_infra_domains(infra),
        strategy=chosen(update.strategy, before.strategy),
        service=parse_service(chosen(update.service, before.service)),
        listeners=listeners,
        ports=parse_ports(chosen(update.ports, before.ports)),
        shared_roots=roots,
    )


def srv_records(facts: Federation) -> list[str]:
    """The records by which others find us, as they stand in a zone file."""
    port = next((each.port for each in facts.listeners if each.network == WAN), DEFAULT_PORT)
    return [
        f"_{facts.service}._tcp.{facts.domain}. {TTL} IN SRV 0 10 {port} {target}." for target in facts.infra_domains
    ]


def set_up_already(facts: Federation) -> TransitionNotAllowed:
    hint = "isthmus federation set changes infra domains, strategy and listener; a domain stays what it is"
    return TransitionNotAllowed("federation", f"is set up already, for {facts.domain}", hint)


class NoFederation(NotFound):
    """Federation is not set up: there is nothing to show, and nobody to speak for."""

    mend = "set it up: isthmus federation init --domain a.example --infra infra.a.example"


def no_federation() -> NoFederation:
    return NoFederation("federation", "yet")


def parse_infra_domains(texts: Sequence[str]) -> tuple[InfraDomain, ...]:
    if not 0 < len(texts) <= MOST_INFRA_DOMAINS:
        hint = "the DNS name that the ingress is reached at, such as infra.example.com"
        raise InvalidValue("/infra_domains", f"must be 1 to {MOST_INFRA_DOMAINS} names", hint)
    return tuple(dict.fromkeys(infra_domain(text, f"/infra_domains/{n}") for n, text in enumerate(texts)))


def parse_service(text: str) -> str:
    if not LABEL.fullmatch(text):
        raise InvalidValue("/service", "is no label", f"such as {DEFAULT_SERVICE} or wire-server-federator, without _")
    return text


def parse_ports(ports: Sequence[int]) -> tuple[int, ...]:
    if not 0 < len(ports) <= MOST_PORTS or not all(0 < port < 2**16 for port in ports):
        raise InvalidValue("/ports", f"must be 1 to {MOST_PORTS} ports that SRV records of remotes may name")
    return tuple(dict.fromkeys(ports))


def parse_listen(text: str) -> Listener:
    host, _, port = text.rpartition(":")
    bare = host.removeprefix("[").removesuffix("]")
    try:
        address = ip_address(bare)
        if (host != bare) != (address.version == 6) or not 0 < int(port) < 2**16:
            raise ValueError(text)
    except ValueError:
        raise InvalidValue(
            "/listen", "is not ADDRESS:PORT", f"such as {DEFAULT_LISTEN} or [::]:{DEFAULT_PORT}"
        ) from None
    return Listener(WAN, str(address), int(port))


def parse_roots(pem: str) -> tuple[bytes, ...]:
    """DER of the CA certificates in `pem`; none where it is empty."""
    found = []
    for part in pem.split(PEM_END)[:-1]:
        try:
            der = read_one_pem(part[part.find(PEM_BEGIN) :] + PEM_END)
            if not read_leaf(der).is_ca:
                raise ValueError("one of them is no CA")
        except ValueError as error:
            raise InvalidValue("/shared_roots", f"are no CA certificates: {error}", "give them in PEM") from None
        found.append(der)
    if len(found) > MOST_ROOTS or (pem.strip() and not found):
        raise InvalidValue("/shared_roots", f"must be up to {MOST_ROOTS} CA certificates", "give them in PEM")
    return tuple(dict.fromkeys(found))


def check_is_ours(facts: Federation, domain: BackendDomain, field: str) -> None:
    """Refuse a remote that would be ourselves."""
    if domain == facts.domain:
        raise InvalidValue(field, "is this backend itself", "name the domain of another backend")
