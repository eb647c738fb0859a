"""A certificate and its key as files: good pairs are read, and each fault has its own words."""

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, PrivateFormat

from isthmus.domain.federation.certificate import CLIENT_AUTH, SERVER_AUTH
from isthmus.domain.federation.names import InfraDomain
from isthmus.x509.pair import CHAIN, KEY, PairUnusable, check_pair, load_folder, load_pair
from tests.builders import NOON
from tests.x509.forge import CLIENT, SERVER, Forged, a_leaf, a_uri, a_weak_key, an_authority

INFRA = [InfraDomain("infra.a.example")]
CA = an_authority()
LEAF = a_leaf(CA, usages=(CLIENT, SERVER))
OTHER = a_leaf(CA)


def write(folder: Path, leaf: Forged) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / CHAIN).write_bytes(leaf.pem + CA.pem)
    (folder / KEY).write_bytes(leaf.key_pem)
    return folder


def why_unusable(folder: Path, **asked: Any) -> PairUnusable | None:
    try:
        pair = load_pair(folder / CHAIN, folder / KEY)
        given: dict[str, Any] = {"infra_domains": INFRA, "now": NOON} | asked
        check_pair(pair, folder / CHAIN, **given)
    except PairUnusable as unusable:
        return unusable
    return None


def test_a_good_pair_is_read(tmp_path: Path) -> None:
    folder = write(tmp_path / "pair", LEAF)
    pair = load_folder(folder)
    assert pair.leaf.serial == LEAF.certificate.serial_number
    assert pair.key == LEAF.key_pem
    assert "PRIVATE" not in repr(pair)
    assert why_unusable(folder) is None
    assert why_unusable(folder, usages=(CLIENT_AUTH, SERVER_AUTH)) is None
    assert why_unusable(folder, infra_domains=[InfraDomain("infra2.a.example"), *INFRA]) is None


def locked_out(folder: Path) -> None:
    # A folder where a file should be is unreadable to root as well.
    (folder / CHAIN).unlink()
    (folder / CHAIN).mkdir()


def encrypted(folder: Path) -> None:
    secret = LEAF.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"word"))
    (folder / KEY).write_bytes(secret)


FAULTS: dict[str, Callable[[Path], Any]] = {
    "certificate_missing": lambda folder: (folder / CHAIN).unlink(),
    "key_missing": lambda folder: (folder / KEY).unlink(),
    "certificate_unreadable": locked_out,
    "no_certificate": lambda folder: (folder / CHAIN).write_bytes(LEAF.key_pem),
    "no_key": lambda folder: (folder / KEY).write_bytes(LEAF.pem),
    "key_encrypted": encrypted,
    "key_of_another": lambda folder: (folder / KEY).write_bytes(OTHER.key_pem),
    "expired": lambda folder: write(folder, a_leaf(CA, ends=NOON - timedelta(seconds=1))),
    "not_yet_valid": lambda folder: write(folder, a_leaf(CA, starts=NOON + timedelta(seconds=1))),
    "eku": lambda folder: write(folder, a_leaf(CA, usages=(SERVER,))),
    "infra_domain": lambda folder: write(folder, a_leaf(CA, names=("infra.b.example",))),
    "ca": lambda folder: write(folder, a_leaf(CA, ca=True)),
    "key": lambda folder: write(folder, a_leaf(CA, key=a_weak_key())),
    "lifetime": lambda folder: write(folder, a_leaf(CA, ends=NOON + timedelta(days=400))),
    "key_usage": lambda folder: write(folder, a_leaf(CA, has_key_usage=False)),
    "san_missing": lambda folder: write(folder, a_leaf(CA, names=None, common_name="infra.a.example")),
    "wildcard": lambda folder: write(folder, a_leaf(CA, names=("*.a.example",))),
    "dns_name": lambda folder: write(folder, a_leaf(CA, names=("INFRA.a.example",))),
    "uri_count": lambda folder: write(folder, a_leaf(CA, uris=(a_uri(), a_uri()))),
    "uri": lambda folder: write(folder, a_leaf(CA, uris=("https://a.example/",))),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_each_fault_is_named_with_its_file(fault: str, tmp_path: Path) -> None:
    folder = write(tmp_path / "pair", LEAF)
    FAULTS[fault](folder)
    unusable = why_unusable(folder)
    assert unusable is not None
    assert unusable.fault == fault
    assert str(folder) in str(unusable)
    assert "PRIVATE KEY-----" not in str(unusable)


def test_no_two_faults_have_the_same_words(tmp_path: Path) -> None:
    messages = set()
    for fault, spoil in FAULTS.items():
        folder = write(tmp_path / fault, LEAF)
        spoil(folder)
        messages.add(str(why_unusable(folder)).partition(": ")[2])
    assert len(messages) == len(FAULTS)


def test_the_ingress_needs_the_server_usage_as_well(tmp_path: Path) -> None:
    folder = write(tmp_path / "pair", OTHER)
    unusable = why_unusable(folder, usages=(CLIENT_AUTH, SERVER_AUTH))
    assert "serverAuth" in str(unusable)


@pytest.mark.parametrize("text", [b"", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", b"\xff" * 99])
def test_rubbish_is_no_certificate(text: bytes, tmp_path: Path) -> None:
    folder = write(tmp_path / "pair", LEAF)
    (folder / CHAIN).write_bytes(text)
    assert getattr(why_unusable(folder), "fault", None) == "no_certificate"


def test_a_file_without_end_is_not_read_to_its_end(tmp_path: Path) -> None:
    with pytest.raises(PairUnusable, match="larger"):
        load_pair(Path("/dev/zero"), write(tmp_path / "pair", LEAF) / KEY)


def test_a_symlink_that_turns_never_mixes_two_pairs(tmp_path: Path) -> None:
    one, two = write(tmp_path / "one", LEAF), write(tmp_path / "two", OTHER)
    current = tmp_path / "current"
    seen = set()
    for turn in range(200):
        link = tmp_path / "next"
        link.symlink_to((one, two)[turn % 2].name)
        link.replace(current)
        seen.add(load_folder(current).leaf.serial)
    assert seen == {LEAF.certificate.serial_number, OTHER.certificate.serial_number}
    with pytest.raises(PairUnusable, match="folder is missing"):
        load_folder(tmp_path / "gone")
