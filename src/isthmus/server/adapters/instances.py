"""The processes of this backend that speak to others, by the instance that their leaves name."""

from pathlib import Path
from uuid import UUID

from isthmus.domain.federation.certificate import identity_of
from isthmus.domain.federation.denial import Denied
from isthmus.protocol.places import Places
from isthmus.x509.leaf import read_leaf, read_one_pem

END = "-----END CERTIFICATE-----"


class LeafInstances:
    """Read from the leaves that are in use, so that a name is known as soon as a leaf with it is."""

    def __init__(self, places: Places) -> None:
        self._pairs = {"federator": places.federator_pair, "ingress": places.ingress_pair}

    def name_of(self, instance: UUID) -> str | None:
        for name, folder in self._pairs.items():
            if _instance_in(folder / "chain.pem") == instance:
                return name
        return None


def _instance_in(chain: Path) -> UUID | None:
    try:
        first = chain.read_text("ascii").partition(END)[0] + END
        return identity_of(read_leaf(read_one_pem(first))).instance
    except (OSError, ValueError, Denied):
        return None
