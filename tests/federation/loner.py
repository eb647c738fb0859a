"""A backend of its own that lists strangers: their names are vouched for by a root that the tests have the key of."""

import itertools
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

from isthmus.protocol.federation import ORIGIN
from lab.host import Host
from lab.lab import Lab
from lab.meeting import initialise, second_infra
from lab.names_server import Reply
from lab.organisation import PORT, Organisation
from lab.scripted_names import ScriptedNames
from lab.waiting import wait_until
from tests.federation.checks import QUIET_SECONDS, ROW_SECONDS, no_component_call, no_state_change, refused
from tests.federation.counting import Counted, connections_from
from tests.federation.federation import Federation
from tests.federation.party import Party
from tests.federation.planting import ENVIRONMENT
from tests.federation.stand import Answers, Stand
from tests.federation.tapping import serving
from tests.federation.wire import Answer, Connection, Credential, client_context
from tests.x509.forge import Forged, a_leaf, an_authority

FIRST_PORT = 9001
PORTS = list(range(FIRST_PORT, FIRST_PORT + 30))
DATABASE_HOST = "198.51.100.199"
"""Where this backend's database would be, so that nothing else is looked for there."""
FOLLOW_SECONDS = 30.0


@dataclass(frozen=True)
class Refused:
    """By domain, what a call ended in, and after how many seconds."""

    answers: dict[str, Answer]
    took: dict[str, float]


@dataclass
class Loner:
    """`party` is the backend, `host` where strangers live, each at a port of its own."""

    party: Party
    host: Host
    root: Forged
    names: ScriptedNames
    _ports: Iterator[int] = field(default_factory=lambda: itertools.cycle(PORTS))
    _numbers: Iterator[int] = field(default_factory=itertools.count)

    def port(self) -> int:
        return next(self._ports)

    def leaf(self, name: str, domain: str, **fields: Any) -> Forged:
        """What a server of that infra domain would show."""
        now = datetime.now(UTC)
        usual: dict[str, Any] = {"starts": now - timedelta(minutes=5), "ends": now + timedelta(hours=23)}
        usual |= {"names": (name,), "uris": (f"spiffe://{domain}/instance/{uuid4()}",), "usages": serving()}
        given = usual | fields
        return a_leaf(given.pop("issuer", self.root), **given)

    def stand(self, domain: str, port: int, answer: Answers | None = None, **more: Any) -> Stand:
        """A server that shows the right leaf of a stranger."""
        given = more if answer is None else {"answer": answer, **more}
        return Stand(self.host, port, self.leaf(f"infra.{domain}", domain), self.party.authority, **given)

    def publish(self, domain: str, port: int) -> None:
        """Records of a stranger as they should be."""
        self.names.publish(domain, f"infra.{domain}", [self.host.ipv4], port)

    def say(self, domain: str, *records: str, **how: Any) -> None:
        """What DNS says of the services of a stranger: `0 0 9001 infra.x.example.`"""
        self.names.say(f"{self.names.srv(domain)} SRV", Reply([f"30 SRV {each}" for each in records], **how))

    def list(self, *domains: str, more_infra: Sequence[str] = ()) -> None:
        """Put strangers on the allow list, and wait until the Federator knows of them."""
        last = f"nobody{next(self._numbers)}.example"
        for domain in (*domains, last):
            body = {"domain": domain, "infra_domains": [f"infra.{domain}", *more_infra]}
            self.party.api.post("/remotes", json=body).raise_for_status()
        # The list is told as a whole.
        wait_until(lambda: self.party.calls(last).status == 422, within=FOLLOW_SECONDS, what="the Federator to follow")

    def asked_by(self, domain: str) -> Answer:
        """A stranger calls this backend, and proves to be who it is."""
        data = self.party.request(self.party, changed={ORIGIN: domain})
        leaf = self.leaf(f"infra.{domain}", domain)
        context = client_context(Credential(leaf.pem, leaf.key_pem))
        raw = self.host.connect(self.party.site.host.ipv4, PORT)
        with Connection(raw, context, self.party.infra) as connection:
            return connection.ask(data)

    def refuses(self, wanted: Mapping[str, tuple[int, str, str]], ports: Sequence[int] = ()) -> "Refused":
        """Call all these strangers at the same time. Each call ends as is wanted of it (status, code, reason), leaves
        one audit row and changes nothing; to `ports` no connection is tried."""
        party = self.party
        time.sleep(QUIET_SECONDS)
        before = party.last_row()
        with no_state_change(party), no_component_call(party), self.dialling(ports) as counted:
            with ThreadPoolExecutor(len(wanted)) as pool:
                came = list(pool.map(self._timed, wanted))
            wait_until(lambda: len(party.denials(before)) >= len(wanted), within=ROW_SECONDS, what="the audit rows")
            time.sleep(QUIET_SECONDS)
        found = Refused({}, {})
        for (domain, (status, code, _)), (answer, seconds) in zip(wanted.items(), came, strict=True):
            found.answers[domain], found.took[domain] = refused(answer, status, code), seconds
        rows = Counter((row["subject"].partition("/")[0], row["reason"]) for row in party.denials(before))
        assert rows == {(domain, reason): 1 for domain, (_, _, reason) in wanted.items()}
        assert counted.connections == 0 or not ports
        return found

    def _timed(self, domain: str) -> tuple[Answer, float]:
        began = time.monotonic()
        return self.party.calls(domain), time.monotonic() - began

    @contextmanager
    def dialling(self, ports: Sequence[int]) -> Iterator[Counted]:
        """The connections to these ports that the backend tries meanwhile, those to itself included."""
        if not ports:
            yield Counted(0)
            return
        with connections_from(self.party.site.host, ports=ports) as counted:
            yield counted


@contextmanager
def a_loner(federation: Federation) -> Iterator[Loner]:
    lab: Lab = federation.lab
    now = datetime.now(UTC)
    root = an_authority("the strangers' root", starts=now - timedelta(days=1), ends=now + timedelta(days=300))
    environment = {**ENVIRONMENT, "ISTHMUS_FEDERATOR_DENIED_ADDRESSES": DATABASE_HOST}
    with Organisation(federation.names, "n", env=environment) as site:
        initialise(site, second_infra(site))
        site.publish()
        site.await_ingress()
        party = Party(site)
        party.record()
        party.populate()
        facts = {"shared_roots": root.pem.decode(), "ports": [443, 8443, *PORTS]}
        party.api.patch("/federation", json=facts).raise_for_status()
        try:
            yield Loner(party, lab.host("strangers"), root, federation.names)
        finally:
            party.unrecord()
            site.stop()
