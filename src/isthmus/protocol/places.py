"""Where the processes of one backend find each other's files and sockets on one machine, below its data folder.

Every folder belongs to the user that the processes run as and is closed to others.
"""

from dataclasses import dataclass
from pathlib import Path

MOST_REPLICAS = 4


@dataclass(frozen=True, slots=True)
class Places:
    """`data` is the server's `data_dir`. Pairs are folders with `chain.pem` and `key.pem`; `current` is a symlink to
    the newest of them, so a reader that opens it once never sees halves of two pairs. Of several Federators and
    ingresses beside one server, `replica` says whose sockets these are: the first ones have the plain names."""

    data: Path
    replica: int = 1

    def of_replicas(self, count: int) -> list["Places"]:
        """Those of each of so many."""
        return [Places(self.data, number) for number in range(1, count + 1)]

    def _own(self, name: str) -> str:
        return name if self.replica == 1 else f"{name}-{self.replica}"

    @property
    def federation(self) -> Path:
        return self.data / "federation"

    @property
    def authority(self) -> Path:
        """`ca.pem` and `ca.key`: the backend's own CA. Only the server reads the key."""
        return self.federation / "ca"

    @property
    def federator_pair(self) -> Path:
        return self.federation / "federator" / "current"

    @property
    def ingress_pair(self) -> Path:
        return self.federation / "ingress" / "current"

    @property
    def message_key(self) -> Path:
        """PEM (PKCS #8) of the present Ed25519 message key; the file's name is not its id, its thumbprint is."""
        return self.federation / "keys" / "message.pem"

    @property
    def listener_key(self) -> Path:
        """32 random bytes, from which the secret of each ingress listener is derived."""
        return self.federation / "keys" / "listener.key"

    def context_key(self, component: str) -> Path:
        """32 random bytes that the Federator and one component share."""
        return self.federation / "keys" / f"context-{component}.key"

    @property
    def ingress_config(self) -> Path:
        """The rendered ingress: one folder a version, `current` points to the one that runs."""
        return self.federation / self._own("nginx")

    @property
    def restoring(self) -> Path:
        """A folder that is there while a backup is being restored here; until it is gone no server starts."""
        return self.data / ".restoring"

    @property
    def run(self) -> Path:
        return self.data / "run"

    @property
    def control(self) -> Path:
        """The server listens: what the Federator and the ingress need to know, and what they report."""
        return self.run / "control.sock"

    def component(self, name: str) -> Path:
        """The server listens: calls that the Federator has admitted."""
        return self.run / f"component-{name}.sock"

    @property
    def inward(self) -> Path:
        """The Federator listens: requests from the ingress."""
        return self.run / f"{self._own('inward')}.sock"

    @property
    def outward(self) -> Path:
        """The Federator listens: calls of our own components."""
        return self.run / f"{self._own('outward')}.sock"

    @property
    def refusals(self) -> Path:
        """The Federator listens (datagrams): what the ingress refused."""
        return self.run / f"{self._own('refusals')}.sock"

    @property
    def ingress_status(self) -> Path:
        """Our nginx listens: which configuration it runs."""
        return self.run / f"{self._own('ingress')}.sock"

    @property
    def ingress_pid(self) -> Path:
        """The number of the process of our nginx."""
        return self.run / f"{self._own('ingress')}.pid"
