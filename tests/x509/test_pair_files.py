"""Pairs in folders of users: swapped as one thing, the last one kept, and nothing of others touched."""

from datetime import timedelta
from pathlib import Path

import pytest

from isthmus.domain.federation.names import BackendDomain, InfraDomain, InstanceId, instance_uri
from isthmus.x509.authority import Issued, Wanted, make_authority
from isthmus.x509.pair import PairUnusable, load_folder
from isthmus.x509.pair_files import keep_pair
from tests.builders import NOON
from tests.x509.forge import INSTANCE

WANTED = Wanted(instance_uri(BackendDomain("a.example"), InstanceId(INSTANCE)), (InfraDomain("infra.a.example"),))
AUTHORITY = make_authority("a.example", NOON)


def a_pair(minutes: int = 0) -> Issued:
    return AUTHORITY.issue(WANTED, NOON + timedelta(minutes=minutes), timedelta(hours=1))


def test_a_pair_takes_the_place_of_another_and_the_last_one_stays(tmp_path: Path) -> None:
    folder, kept = tmp_path / "out", []
    for minutes in range(4):
        pair = a_pair(minutes)
        kept.append(keep_pair(folder, pair.chain, pair.key))
        assert load_folder(folder / "current") == kept[-1]
        assert (folder / "key.pem").read_bytes() == pair.key
        assert (folder / "key.pem").stat().st_mode & 0o777 == 0o600
    pairs = [each for each in folder.iterdir() if each.is_dir() and not each.is_symlink()]
    assert sorted(load_folder(each).leaf.serial for each in pairs) == sorted(each.leaf.serial for each in kept[-2:])


def test_files_of_others_stay_as_they_are(tmp_path: Path) -> None:
    (tmp_path / "notes").write_text("mine")
    (tmp_path / "20260101-backup").mkdir()
    for minutes in range(3):
        pair = a_pair(minutes)
        keep_pair(tmp_path, pair.chain, pair.key)
    assert (tmp_path / "notes").read_text() == "mine"
    assert (tmp_path / "20260101-backup").is_dir()


@pytest.mark.parametrize("name", ["key.pem", "chain.pem", "current"])
def test_a_file_in_the_way_is_not_replaced(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("precious")
    pair = a_pair()
    with pytest.raises(PairUnusable, match="not of our making"):
        keep_pair(tmp_path, pair.chain, pair.key)
    assert (tmp_path / name).read_text() == "precious"


def test_halves_of_two_pairs_are_not_kept(tmp_path: Path) -> None:
    with pytest.raises(PairUnusable, match="key of another certificate"):
        keep_pair(tmp_path / "out", a_pair().chain, a_pair().key)
    assert not (tmp_path / "out").exists()
