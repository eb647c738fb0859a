"""The pictures of `docs/operations/trust.md` that are drawn from tables in the code: `python -m tools.bridge_states`
writes them into the page, with `--check` it fails where those in the page are others."""

import argparse
import re
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

from isthmus.domain.federation.bridge import TRANSITIONS, Bridge, Side, State, Statement, Terms
from isthmus.domain.federation.names import BackendDomain

PAGE = Path(__file__).resolve().parent.parent / "docs" / "operations" / "trust.md"
MADE = "<!-- Made by `python -m tools.bridge_states`. -->"
END = "<!-- end -->"


def diagram() -> str:
    """The life of one side of a bridge, in Mermaid."""
    ends = {state for state in State if not any(at is state for at, _ in TRANSITIONS)}
    lines = ["```mermaid", "stateDiagram-v2", "    [*] --> proposed: propose"]
    lines += [f"    {state} --> {after}: {action}" for (state, action), after in TRANSITIONS.items()]
    lines += [f"    {state} --> [*]" for state in sorted(ends)]
    return "\n".join([*lines, "```"])


def pairs() -> str:
    """What each pair of states lets pass, as a table: ours downwards, theirs to the right."""
    heads = " | ".join(f"theirs {state}" for state in State)
    rows = [f"| | {heads} |", "|---|" + "---|" * len(State)]
    for ours in State:
        cells = " | ".join("**passes**" if is_effective(ours, theirs) else "nothing" for theirs in State)
        rows.append(f"| ours {ours} | {cells} |")
    return "\n".join(rows)


def is_effective(ours: State, theirs: State) -> bool:
    at, number, terms = datetime(2000, 1, 1, tzinfo=UTC), UUID(int=1), Terms("")
    said = Statement(number, 1, 1, theirs, terms)
    return Bridge(
        id=number,
        remote=BackendDomain("b.example"),
        remote_generation=1,
        generation=1,
        network_id=None,
        proposed_by=Side.OURS,
        state=ours,
        created_at=at,
        changed_at=at,
        theirs=said,
    ).is_effective


DRAWN = {"states": diagram, "pairs": pairs}


def redrawn(page: str) -> str:
    """`page` with every picture as the code has it. Raises `LookupError` where the page has no place for one."""
    for name, draw in DRAWN.items():
        place = re.compile(rf"<!-- {name} -->\n{re.escape(MADE)}\n.*?{re.escape(END)}", re.DOTALL)
        if place.search(page) is None:
            raise LookupError(f"{PAGE.name} has no place for the picture {name}")
        made = "\n".join([f"<!-- {name} -->", MADE, draw(), END])
        page = place.sub(made.replace("\\", r"\\"), page)
    return page


def stale() -> Iterator[str]:
    page = PAGE.read_text(encoding="utf-8")
    if redrawn(page) != page:
        yield f"{PAGE.name} is stale: draw its pictures anew with python -m tools.bridge_states"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; fail where the page has other pictures")
    if parser.parse_args().check:
        found = [*stale()]
        print("\n".join(found), file=sys.stderr)
        return 1 if found else 0
    PAGE.write_text(redrawn(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
