"""The service of the backend's own certificates, with what it stands on."""

from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

from isthmus.domain.federation.bundle import Bundle
from isthmus.domain.federation.certificate import CLIENT_AUTH, SERVER_AUTH
from isthmus.domain.federation.names import BackendDomain, InfraDomain
from isthmus.domain.federation.remote import Strategy
from isthmus.domain.federation.rollover import Schedule
from isthmus.protocol.bundle import open_first
from isthmus.protocol.message_key import MessageKey
from isthmus.protocol.places import Places
from isthmus.server.adapters.material import FileMaterial
from isthmus.server.application.certificates import CertificateService, Existing, Ground
from isthmus.server.application.federation_changes import FederationChanges
from isthmus.server.federation_records import Federation
from isthmus.server.ports import Store, Transaction
from isthmus.x509.chain import check_chain
from isthmus.x509.leaf import read_one_pem
from isthmus.x509.pair import Pair, check_pair, load_folder
from tests.application.backend import CountedIds, TurnedClock

DOMAIN = BackendDomain("a.example")
INFRA = (InfraDomain("infra.a.example"),)
FACTS = Federation(DOMAIN, INFRA, Strategy.LIST)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)


@dataclass
class Own:
    """The service with what it stands on."""

    store: Store
    folder: Path
    schedule: Schedule = field(default_factory=Schedule)
    clock: TurnedClock = field(default_factory=TurnedClock)
    bundles: list[str] = field(default_factory=list)
    generations: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.places = Places(self.folder)
        self.again()

    def again(self) -> None:
        """As after a restart of the server."""
        changes = FederationChanges(self.store)
        changes.listeners.append(self.generations.append)
        material = FileMaterial(self.places)
        ground = Ground(self.store, self.clock, CountedIds(), changes, material)
        self.service = CertificateService(ground, self.schedule)
        self.service.on_bundle.append(self.heard)

    async def heard(self, tx: Transaction, signed: str) -> None:
        self.bundles.append(signed)

    async def begin(self, existing: Existing | None = None) -> None:
        await self.service.prepare(DOMAIN, INFRA, existing)
        async with self.store.transaction() as tx:
            await tx.federation.add(FACTS)

    async def later(self, by: timedelta) -> None:
        self.clock.turn(by)
        await self.service.work()
        assert self.service.problem is None

    def lapsed(self) -> bool:
        return self.service.has_lapsed

    @property
    def federator(self) -> Pair:
        return load_folder(self.places.federator_pair)

    @property
    def ingress(self) -> Pair:
        return load_folder(self.places.ingress_pair)

    @property
    def message_key(self) -> MessageKey:
        return MessageKey.from_pem(self.places.message_key.read_bytes())

    async def bundle(self) -> Bundle:
        return open_first(await self.service.bundle())

    async def check(self) -> None:
        """Remotes that hold the present bundle take both leaves."""
        now, bundle = self.clock.now(), await self.bundle()
        for pair, usages in ((self.federator, [CLIENT_AUTH]), (self.ingress, [CLIENT_AUTH, SERVER_AUTH])):
            check_pair(pair, self.folder, infra_domains=INFRA, now=now, usages=usages)
            for usage in usages:
                check_chain(read_one_pem(first_of(pair)), bundle.authorities, now, usage)
        assert self.message_key.id in bundle.message_keys


def first_of(pair: Pair) -> str:
    end = "-----END CERTIFICATE-----\n"
    return pair.chain.decode().partition(end)[0] + end
