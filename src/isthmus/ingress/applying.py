"""From facts to a running nginx: rendered, linted, checked by nginx, swapped, reloaded, and looked at afterwards."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import msgspec
from msgspec import Struct

from isthmus.domain.federation.certificate import CLIENT_AUTH, SERVER_AUTH
from isthmus.domain.federation.names import InfraDomain
from isthmus.ingress import nginx, process, rendering
from isthmus.ingress.facts import checked, decode
from isthmus.ingress.layout import Layout, secrets_of
from isthmus.ingress.refused import IngressRefused, LintFailed, PairRefused
from isthmus.ingress.rendering import Files, read_files
from isthmus.ingress.versions import CURRENT, FACTS, Versions, faults
from isthmus.protocol.ingress import IngressFacts
from isthmus.protocol.places import Places
from isthmus.x509.pair import Pair, PairUnusable, check_pair, load_folder

STATE = "state.json"


class State(Struct, frozen=True):
    """What the last attempt to apply something came to; `problem` is empty if it went well. Times in Unix seconds;
    `left_out` says of listeners of overlays, by id, why they are not there."""

    at: float
    problem: str = ""
    mend: str = ""
    drift: list[str] = msgspec.field(default_factory=list)
    drifted_at: float = 0.0
    left_out: dict[str, str] = msgspec.field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Applier:
    """One ingress below one data folder. All of it blocks."""

    places: Places

    @property
    def versions(self) -> Versions:
        return Versions(self.places.ingress_config.absolute())

    @property
    def current(self) -> Path:
        return self.versions.folder / CURRENT

    def layout(self) -> Layout:
        """Where its nginx runs. Raises `FactsRefused` while there is no listener key."""
        return Layout.of(self.places, secrets_of(self.places))

    def pair(self, facts: IngressFacts) -> Pair:
        """The certificate and key of the ingress, if they are a pair that remotes would take. Raises `PairRefused`."""
        path = self.places.ingress_pair
        try:
            found = load_folder(path)
            names = [InfraDomain(name) for name in facts.infra_domains]
            check_pair(found, path, infra_domains=names, now=datetime.now(UTC), usages=(CLIENT_AUTH, SERVER_AUTH))
        except PairUnusable as error:
            raise PairRefused(str(error), "the last good pair is served until this one is mended") from None
        return found

    def apply(self, facts: IngressFacts, *, reload: bool, force: bool = False) -> Path:
        """Make `facts` the current version and the pair of the ingress the one that is served; returns the version.

        With `reload` the running nginx takes it; when it does not, the former version stays. Unless by `force`, what
        runs already is not reloaded. Raises `FactsRefused`, `LintFailed`, `NginxFailed` or `PairRefused`;
        the last one after facts that are good were applied.
        """
        with self.versions.locked():
            problem = self._install(facts)
            if problem is not None and not self.versions.has_pair():
                raise problem
            version = self._apply(facts, reload=reload, force=force)
        if problem is not None:
            raise problem
        return version

    def _install(self, facts: IngressFacts) -> PairRefused | None:
        try:
            self.versions.install(self.pair(facts))
        except PairRefused as refused:
            return refused
        return None

    def _apply(self, facts: IngressFacts, *, reload: bool, force: bool) -> Path:
        files = self._rendered(facts)
        former = self.versions.current()
        if reload and not force and former is not None and self._runs(former, files):
            return former
        version = self.versions.write(files, msgspec.json.encode(facts))
        try:
            process.check(version)
            self.versions.promote(version)
            if reload:
                process.reload(self.layout(), version.name)
        except IngressRefused:
            if former is not None:
                self.versions.promote(former)
            raise
        finally:
            self.versions.prune()
        return version

    def _runs(self, version: Path, files: Files) -> bool:
        """Whether nginx runs `version`, and rendering it anew would bring nothing else."""
        running = process.ask(self.layout())
        is_same = not faults(version) and read_files(version)[nginx.DIGEST] == files[nginx.DIGEST]
        return is_same and running is not None and running.version == version.name

    def _rendered(self, facts: IngressFacts) -> Files:
        files = nginx.render(checked(facts), self.layout())
        findings = rendering.lint("nginx", files)
        if findings:
            raise LintFailed(findings)
        return files

    def last_good(self) -> tuple[Path, IngressFacts] | None:
        """The current version and the facts it was made from, if nobody has changed it since."""
        version = self.versions.current()
        if version is None or faults(version):
            return None
        try:
            process.check(version)
            return version, decode((version / FACTS).read_bytes(), FACTS)
        except (IngressRefused, OSError):
            return None

    def drift(self) -> list[str]:
        """How what runs differs from what was rendered; empty if it does not."""
        version = self.versions.current()
        if version is None:
            return ["nothing was applied yet"]
        found = faults(version)
        running = process.ask(self.layout())
        if running is None:
            found.append("no nginx of this ingress answers")
        elif running.version != version.name:
            found.append(f"nginx runs version {running.version or 'unknown'}, and {version.name} is the current one")
        return found

    def note(
        self,
        problem: IngressRefused | None,
        drift: list[str] | None = None,
        left_out: Mapping[str, str] | None = None,
    ) -> None:
        """Keep for `isthmus ingress status` what came of the last attempt."""
        former = self.state()
        fields = (str(problem), problem.mend) if problem else ("", "")
        seen = (drift, time.time()) if drift else (former.drift, former.drifted_at)
        waiting = former.left_out if left_out is None else dict(left_out)
        self.versions.prepare()
        draft = self.versions.folder / f".{STATE}"
        draft.write_bytes(msgspec.json.encode(State(time.time(), *fields, *seen, waiting)))
        draft.replace(self.versions.folder / STATE)

    def state(self) -> State:
        try:
            return msgspec.json.decode((self.versions.folder / STATE).read_bytes(), type=State)
        except (OSError, msgspec.MsgspecError):
            return State(0.0)
