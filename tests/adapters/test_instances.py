"""The processes of this backend are known by the leaves that they have in use."""

from pathlib import Path
from uuid import uuid4

import pytest

from isthmus.protocol.places import Places
from isthmus.server.adapters.instances import LeafInstances
from tests.x509.forge import Forged, a_leaf, an_authority


@pytest.fixture(scope="module")
def authority() -> Forged:
    return an_authority("A's CA")


def test_an_instance_is_called_by_its_process(tmp_path: Path, authority: Forged) -> None:
    places, federator, ingress = Places(tmp_path), uuid4(), uuid4()
    instances = LeafInstances(places)
    assert instances.name_of(federator) is None
    for folder, instance in ((places.federator_pair, federator), (places.ingress_pair, ingress)):
        folder.mkdir(parents=True)
        leaf = a_leaf(authority, uris=(f"spiffe://a.example/instance/{instance}",))
        (folder / "chain.pem").write_bytes(leaf.pem + authority.pem)
    assert [instances.name_of(each) for each in (federator, ingress, uuid4())] == ["federator", "ingress", None]
    # A leaf that takes the place of another is known at once; what is no certificate names nobody.
    renewed = uuid4()
    leaf = a_leaf(authority, uris=(f"spiffe://a.example/instance/{renewed}",))
    (places.federator_pair / "chain.pem").write_bytes(leaf.pem)
    assert (instances.name_of(renewed), instances.name_of(federator)) == ("federator", None)
    (places.federator_pair / "chain.pem").write_text("not a certificate")
    assert (instances.name_of(renewed), instances.name_of(ingress)) == (None, "ingress")
