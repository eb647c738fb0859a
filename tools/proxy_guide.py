"""The configurations beside `docs/operations/reverse-proxy.md`, rendered from the facts that stand there:
`python -m tools.proxy_guide` writes them, with `--check` it fails where those in the repository, or what the page
quotes of them, are others."""

import argparse
import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from textwrap import dedent

from isthmus.ingress import facts, rendering
from isthmus.ingress.layout import Layout, no_secret
from isthmus.protocol.ingress import Kind
from isthmus.protocol.places import Places

PAGE = Path(__file__).resolve().parent.parent / "docs" / "operations" / "reverse-proxy.md"
FOLDER = PAGE.with_suffix("")
FACTS = FOLDER / "facts.json"
DATA = Path("/var/lib/isthmus")
KINDS: Mapping[str, Kind] = {"nginx": "nginx", "traefik": "traefik"}
QUOTED = {"nginx": ("nginx", "nginx.conf"), "json": ("traefik", "dynamic.yaml"), "yaml": ("traefik", "traefik.yaml")}
"""By the language of a fenced block: the rendering and the file that it quotes."""
FENCED = re.compile(r"^```(nginx|json|yaml)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def rendered(kind: Kind) -> rendering.Files:
    """The files of one kind, whoever renders them: secrets are left out, and nginx runs as the user of the package."""
    layout = replace(Layout.of(Places(DATA), no_secret), user="isthmus")
    return rendering.render(kind, facts.read(FACTS), layout)


def stale() -> Iterator[str]:
    for name, kind in KINDS.items():
        folder = FOLDER / name
        if not folder.is_dir() or rendering.read_files(folder) != rendered(kind):
            yield f"{folder.name} of the proxy guide is stale: write it anew with python -m tools.proxy_guide"
    for language, text in FENCED.findall(PAGE.read_text(encoding="utf-8")):
        if not is_quoted(language, text):
            yield f"{PAGE.name} quotes what is not rendered: {text.strip().splitlines()[0]} …"


def is_quoted(language: str, text: str) -> bool:
    """Whether these lines follow each other in the rendered file, however far in."""
    kind, name = QUOTED[language]
    lines = [line.strip() for line in dedent(text).splitlines()]
    whole = [line.strip() for line in rendered(KINDS[kind])[name].splitlines()]
    return any(whole[at : at + len(lines)] == lines for at in range(len(whole)))


def write() -> None:
    for name, kind in KINDS.items():
        (FOLDER / name).mkdir(exist_ok=True)
        for file, text in rendered(kind).items():
            (FOLDER / name / file).write_text(text, encoding="utf-8")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; fail where the guide is another one")
    if not parser.parse_args().check:
        write()
    found = [*stale()]
    if found:
        print("\n".join(found), file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
