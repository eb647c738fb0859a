"""The certificate of the ingress changes however its files change, and never by half."""

import shutil
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from functools import partial
from pathlib import Path

import pytest
from cryptography.x509.oid import ExtendedKeyUsageOID as Usage

from tests.ingress.authority import Pair
from tests.ingress.client import INFRA, read_answer, request
from tests.ingress.running import Ingress, an_ingress

SOON = 5.0


@pytest.fixture(scope="module")
def ingress(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ingress]:
    with an_ingress(tmp_path_factory.mktemp("material")) as found:
        found.start()
        found.wait_applied()
        yield found


def served(ingress: Ingress) -> bytes:
    with ingress.world.wan.connected() as connection:
        found = connection.getpeercert(binary_form=True)
        assert found is not None
        return found


def is_served(ingress: Ingress, pair: Pair) -> bool:
    return served(ingress) == pair.der


def in_place(folder: Path, pair: Pair) -> None:
    """Certificate first, key a moment later: what is between is no pair."""
    (folder / "chain.pem").write_bytes(pair.chain.read_bytes())
    time.sleep(1)
    (folder / "key.pem").write_bytes(pair.key.read_bytes())


def key_first(folder: Path, pair: Pair) -> None:
    (folder / "key.pem").write_bytes(pair.key.read_bytes())
    time.sleep(1)
    (folder / "chain.pem").write_bytes(pair.chain.read_bytes())


def by_rename(folder: Path, pair: Pair) -> None:
    for name, source in (("chain.pem", pair.chain), ("key.pem", pair.key)):
        draft = folder / f"{name}.new"
        shutil.copy(source, draft)
        draft.replace(folder / name)


def by_volume(folder: Path, pair: Pair) -> None:
    """As Kubernetes mounts a secret: files are links through a link to a folder, which is turned."""
    data = folder / f"..{pair.chain.parent.name}"
    data.mkdir()
    shutil.copy(pair.chain, data / "chain.pem")
    shutil.copy(pair.key, data / "key.pem")
    draft = folder / "..tmp"
    draft.symlink_to(data.name)
    draft.replace(folder / "..data")
    for name in ("chain.pem", "key.pem"):
        if not (folder / name).is_symlink():
            (folder / name).unlink()
            (folder / name).symlink_to(f"..data/{name}")


@pytest.mark.parametrize("change", [in_place, key_first, by_rename, by_volume])
def test_a_complete_new_pair_is_served_soon(ingress: Ingress, change: Callable[[Path, Pair], None]) -> None:
    folder = ingress.world.places.ingress_pair.resolve()
    for _ in range(2):
        pair = ingress.own.leaf(INFRA)
        change(folder, pair)
        ingress.wait(partial(is_served, ingress, pair), "the new certificate", SOON + 5)
    assert ingress.world.wan.post().status == 200
    ingress.wait(lambda: not ingress.status()["problem"], "no problem")


def test_a_turned_symlink_is_served_soon_and_open_connections_go_on(ingress: Ingress) -> None:
    pair = ingress.own.leaf(INFRA)
    with ingress.world.wan.connected() as connection:
        connection.sendall(request())
        assert read_answer(connection).status == 200
        ingress.install(pair)
        ingress.wait(lambda: is_served(ingress, pair), "the new certificate", SOON + 5)
        connection.sendall(request())
        assert read_answer(connection).status == 200


@pytest.mark.parametrize("fault", ["mismatch", "rubbish", "emptied", "expired", "another name", "no serverAuth"])
def test_what_is_no_good_pair_is_not_served_and_is_told(ingress: Ingress, fault: str) -> None:
    before = served(ingress)
    folder = ingress.world.places.ingress_pair.resolve()
    good = [(folder / name).read_bytes() for name in ("chain.pem", "key.pem")]
    _spoil(ingress, folder, fault)
    problem = ingress.wait(lambda: ingress.status()["problem"], "a problem")
    assert str(ingress.world.places.ingress_pair.parent) in problem
    assert not ingress.status()["well"]
    assert problem in ingress.said
    assert served(ingress) == before
    assert ingress.world.wan.post().status == 200
    for name, raw in zip(("chain.pem", "key.pem"), good, strict=True):
        (folder / name).write_bytes(raw)
    ingress.wait(lambda: ingress.status()["well"], "the end of the problem")


def _spoil(ingress: Ingress, folder: Path, fault: str) -> None:
    own = ingress.own
    pairs: dict[str, Callable[[], Pair]] = {
        "mismatch": lambda: Pair(own.leaf(INFRA).chain, own.leaf(INFRA).key, b""),
        "expired": lambda: own.leaf(INFRA, ends=-timedelta(seconds=1)),
        "another name": lambda: own.leaf("infra.c.example"),
        "no serverAuth": lambda: own.leaf(INFRA, usages=(Usage.CLIENT_AUTH,)),
    }
    if fault in pairs:
        by_rename(folder, pairs[fault]())
    else:
        (folder / "chain.pem").write_text("" if fault == "emptied" else "rubbish")


def test_certificates_change_under_load_and_no_request_fails(ingress: Ingress) -> None:
    """Ten changes, far quicker than ten a minute, beside pooled connections and new ones."""
    failures: list[str] = []
    counts = {"kept": 0, "new": 0}
    ended = threading.Event()

    def keep() -> None:
        with ingress.world.wan.connected() as connection:
            while not ended.is_set():
                try:
                    connection.sendall(request())
                    assert read_answer(connection).status == 200
                    counts["kept"] += 1
                except (OSError, AssertionError) as error:
                    failures.append(f"kept: {error!r}")
                    return

    def renew() -> None:
        while not ended.is_set():
            try:
                assert ingress.world.wan.post().status == 200
                counts["new"] += 1
            except (OSError, AssertionError, ssl.SSLError) as error:
                failures.append(f"new: {error!r}")

    threads = [threading.Thread(target=work) for work in (keep, keep, renew, renew)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(10):
            pair = ingress.own.leaf(INFRA)
            ingress.install(pair)
            ingress.wait(partial(is_served, ingress, pair), "the new certificate")
    finally:
        ended.set()
        for thread in threads:
            thread.join()
    assert failures == []
    assert min(counts.values()) > 10
