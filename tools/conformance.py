"""How much of the conformance catalogue the tests prove, from the results that they recorded.

Every runner leaves one JSON file in `.build/claims/`: a list of `{"test", "cases", "outcome"}`, outcome
being passed, skipped or failed. What a test did when it was run once more, alone, replaces what it did beside others.
The catalogue is kept outside of the repository.
"""

import json
import os
import sys
import tomllib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parent.parent
CLAIMS = ROOT / ".build" / "claims"
# The runner that repeats what failed; see tools/suite.py.
ALONE = "alone"
NEIGHBOUR = ROOT.parent / "shared" / "conformance" / "cases.yaml"


@dataclass(frozen=True, slots=True)
class Catalogue:
    """The areas in their order, and the tier of each case by its id."""

    areas: tuple[str, ...]
    tiers: Mapping[str, int]

    def cases(self, area: str, tier: int) -> list[str]:
        return [case for case, its_tier in self.tiers.items() if its_tier == tier and area_of(case) == area]


@dataclass(frozen=True, slots=True)
class Claims:
    """The ids that passed, and for each id that did not the tests that failed."""

    passed: frozenset[str]
    failed: Mapping[str, tuple[str, ...]]

    @property
    def holding(self) -> frozenset[str]:
        return self.passed - self.failed.keys()

    @property
    def named(self) -> frozenset[str]:
        return self.passed | self.failed.keys()


def area_of(case: str) -> str:
    return case.partition("-")[0]


def read_catalogue(text: str) -> Catalogue:
    document: dict[str, Any] = yaml.load(text, Loader=yaml.CSafeLoader)
    return Catalogue(tuple(document["areas"]), {case["id"]: case["tier"] for case in document["cases"]})


def read_claims(results: Iterable[Mapping[str, Any]]) -> Claims:
    """A skipped test claims nothing; one failing test spoils the case for all that passed."""
    passed: set[str] = set()
    failed: defaultdict[str, list[str]] = defaultdict(list)
    for result in results:
        if result["outcome"] == "passed":
            passed.update(result["cases"])
        elif result["outcome"] == "failed":
            for case in result["cases"]:
                failed[case].append(result["test"])
    return Claims(frozenset(passed), {case: tuple(tests) for case, tests in failed.items()})


def table(catalogue: Catalogue, claims: Claims) -> Iterator[str]:
    yield f"{'conformance':<13}tier  cases  claimed  failing  unclaimed"
    for area in catalogue.areas:
        for tier in sorted(set(catalogue.tiers.values())):
            if cases := set(catalogue.cases(area, tier)):
                claimed, failing = len(cases & claims.holding), len(cases & claims.failed.keys())
                unclaimed = len(cases) - claimed - failing
                yield f"{area:<13}{tier:>4}{len(cases):>7}{claimed:>9}{failing:>9}{unclaimed:>11}"
    known = claims.holding & catalogue.tiers.keys()
    yield f"{len(known)} of {len(catalogue.tiers)} cases are proven"


def unclaimed_first_tier(catalogue: Catalogue, claims: Claims) -> dict[str, list[str]]:
    """By area the numbers of the tier 1 cases that no test claims; areas without any are left out."""
    unclaimed = {
        area: [case.partition("-")[2] for case in catalogue.cases(area, 1) if case not in claims.named]
        for area in catalogue.areas
    }
    return {area: numbers for area, numbers in unclaimed.items() if numbers}


def faults(catalogue: Catalogue, claims: Claims, complete: Iterable[str]) -> Iterator[str]:
    """What must not be: each a reason to fail the run."""
    if unknown := sorted(claims.named - catalogue.tiers.keys()):
        yield f"the catalogue does not have {', '.join(unknown)}"
    for case, tests in sorted(claims.failed.items()):
        yield f"{case} is claimed and fails in {', '.join(tests)}"
    open_cases = unclaimed_first_tier(catalogue, claims)
    for area in complete:
        if area not in catalogue.areas:
            yield f"pyproject.toml declares area {area} complete, which the catalogue does not have"
        if area in open_cases:
            yield f"area {area} is declared complete, yet nothing claims {' '.join(open_cases[area])}"


def find_catalogue() -> Path:
    """Where the catalogue is looked for: where ISTHMUS_CONFORMANCE says, else beside the repository."""
    named = os.environ.get("ISTHMUS_CONFORMANCE")
    return Path(named) if named else NEIGHBOUR


def recorded_results(folder: Path) -> list[Mapping[str, Any]]:
    """The last result of each test that claims something."""
    runners = sorted(folder.glob("*.json"), key=lambda path: path.stem == ALONE)
    results = (result for path in runners for result in json.loads(path.read_text(encoding="utf-8")))
    return list({result["test"]: result for result in results}.values())


def forget(folder: Path) -> None:
    """Count nothing that an earlier run recorded."""
    for path in folder.glob("*.json"):
        path.unlink()


def main() -> int:
    path = find_catalogue()
    if not path.is_file():
        print(
            f"conformance: coverage is unknown, there is no catalogue at {path} (set ISTHMUS_CONFORMANCE to its path)"
        )
        return 0
    results = recorded_results(CLAIMS)
    catalogue = read_catalogue(path.read_text(encoding="utf-8"))
    claims = read_claims(results)
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    for line in table(catalogue, claims):
        print(line)
    for area, numbers in unclaimed_first_tier(catalogue, claims).items():
        print(f"unclaimed tier 1: {area} {' '.join(numbers)}")
    found = list(faults(catalogue, claims, settings["tool"]["isthmus"]["conformance"]["complete"]))
    for fault in found:
        print(f"conformance: {fault}")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
