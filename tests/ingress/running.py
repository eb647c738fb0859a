"""`isthmus ingress run` as a process of its own, on a data folder that a test fills."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from isthmus.ingress import process
from isthmus.ingress.applying import Applier
from isthmus.ingress.standing import standing
from isthmus.protocol.ingress import IngressFacts
from isthmus.protocol.places import Places
from tests.ingress.authority import Ca, Pair
from tests.ingress.client import INFRA
from tests.ingress.conftest import KEY, SECONDS, World, make_world

ISTHMUS = [sys.executable, "-c", "from isthmus.cli.main import run; run()"]


@dataclass
class Ingress:
    """The runner, its facts in a file, and what it has logged."""

    world: World
    facts_file: Path | None
    runner: subprocess.Popen[bytes] | None = None
    log: Path = field(init=False)

    def __post_init__(self) -> None:
        self.log = self.world.folder / "log"
        places = self.world.places
        places.listener_key.parent.mkdir(parents=True, exist_ok=True)
        places.listener_key.write_bytes(KEY)
        self.install(self.own.leaf(INFRA))
        if self.facts_file is not None:
            self.tell(self.world.facts)

    @property
    def own(self) -> Ca:
        return self.world.cas["b"]

    @property
    def applier(self) -> Applier:
        return Applier(self.world.places)

    def tell(self, facts: IngressFacts) -> None:
        self.tell_raw(msgspec.json.encode(facts))

    def tell_raw(self, raw: bytes) -> None:
        assert self.facts_file is not None
        draft = self.facts_file.with_suffix(".new")
        draft.write_bytes(raw)
        draft.replace(self.facts_file)

    def install(self, pair: Pair) -> None:
        """As the server does it: a folder of its own, and the symlink turned to it."""
        current = self.world.places.ingress_pair
        folder = current.parent / pair.chain.parent.name
        folder.mkdir(parents=True)
        shutil.copy(pair.chain, folder / "chain.pem")
        shutil.copy(pair.key, folder / "key.pem")
        draft = current.parent / ".new"
        draft.symlink_to(folder.name)
        draft.replace(current)

    def command(self, verb: str, *more: str) -> list[str]:
        return [*ISTHMUS, "ingress", verb, "--data-dir", str(self.world.folder), *more]

    def start(self) -> None:
        facts = ["--facts", str(self.facts_file)] if self.facts_file else []
        with self.log.open("ab") as log:
            self.runner = subprocess.Popen(self.command("run", *facts), stderr=log)

    def call(self, verb: str, *more: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(self.command(verb, *more), capture_output=True, text=True, timeout=60, check=False)

    def lint(self, folder: Path, *more: str) -> "subprocess.CompletedProcess[str]":
        """It needs no data folder."""
        whole = [*ISTHMUS, "ingress", "lint", str(folder), *more]
        return subprocess.run(whole, capture_output=True, text=True, timeout=60, check=False)

    def status(self) -> Any:
        return standing(self.world.places)

    @property
    def said(self) -> str:
        return self.log.read_text() if self.log.exists() else ""

    @property
    def running(self) -> process.Running | None:
        return process.ask(self.applier.layout())

    def wait(self, holds: Callable[[], Any], what: str, seconds: float = SECONDS) -> Any:
        until = time.monotonic() + seconds
        while not (found := holds()):
            assert time.monotonic() < until, f"{what} never came; the log says:\n{self.said}"
            time.sleep(0.05)
        return found

    def wait_applied(self) -> process.Running:
        """Until the version that is current runs."""

        def applied() -> process.Running | None:
            running, current = self.running, self.applier.versions.current()
            return running if running and current and running.version == current.name else None

        found: process.Running = self.wait(applied, "a running nginx")
        return found

    def wait_other(self, than: process.Running) -> process.Running:
        found: process.Running = self.wait(
            lambda: now if (now := self.running) and now.version != than.version else None, "another version"
        )
        # The old workers take connections for another 100 ms.
        process.wait_for(self.applier.layout(), found.version, SECONDS)
        return found

    def stop(self) -> int:
        assert self.runner is not None
        self.runner.send_signal(signal.SIGTERM)
        return self.runner.wait(timeout=SECONDS)

    def close(self) -> None:
        if self.runner is not None and self.runner.poll() is None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.stop()
            self.runner.kill()
            self.runner.wait(timeout=SECONDS)
        stray = process.master_of(self.applier.layout())
        if stray is not None:
            os.kill(stray, signal.SIGKILL)
        self.world.upstream.close()
        self.world.refusals.close()


@contextlib.contextmanager
def an_ingress(folder: Path, *, with_file: bool = True) -> Iterator[Ingress]:
    ingress = Ingress(make_world(folder), folder / "facts.json" if with_file else None)
    try:
        yield ingress
    finally:
        ingress.close()


def places_of(ingress: Ingress) -> Places:
    return ingress.world.places
