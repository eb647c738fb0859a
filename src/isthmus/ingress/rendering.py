"""The three renderings behind one door: facts in, files and findings out."""

from collections.abc import Callable, Mapping
from pathlib import Path

from isthmus.ingress import kubernetes, kubernetes_lint, nginx, nginx_lint, traefik, traefik_lint
from isthmus.ingress.layout import Layout
from isthmus.ingress.refused import IngressRefused
from isthmus.protocol.ingress import IngressFacts, Kind

LARGEST_FILE = 64 * 1024 * 1024
Files = dict[str, str]

RENDERERS: Mapping[Kind, Callable[[IngressFacts, Layout], Files]] = {
    "nginx": nginx.render,
    "traefik": traefik.render,
    "kubernetes": kubernetes.render,
}
LINTERS: Mapping[Kind, Callable[[Mapping[str, str]], list[str]]] = {
    "nginx": nginx_lint.lint,
    "traefik": traefik_lint.lint,
    "kubernetes": kubernetes_lint.lint,
}
# By the file that only this rendering has, a folder tells what it holds.
SIGNS: Mapping[str, Kind] = {nginx.CONFIG: "nginx", traefik.STATIC: "traefik", kubernetes.MANIFEST: "kubernetes"}


def render(kind: Kind, facts: IngressFacts, layout: Layout) -> Files:
    """The files of one rendering by name. Raises `FactsRefused`."""
    return RENDERERS[kind](facts, layout)


def write(files: Files, folder: Path) -> None:
    """Write `files` into `folder` for this user alone: one of them holds the secrets of the listeners."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for name, text in files.items():
            draft = folder / f".{name}.new"
            draft.touch(mode=0o600)
            draft.write_text(text, encoding="utf-8")
            draft.replace(folder / name)
    except OSError as error:
        raise IngressRefused(f"{folder} cannot be written to ({error.strerror})", "name another with --out") from None


def read_rendered(folder: Path) -> tuple[Kind, Files]:
    """The files of a rendering in `folder`, and its kind. Raises `IngressRefused` if there is none."""
    for sign, kind in SIGNS.items():
        if (folder / sign).is_file():
            return kind, read_files(folder)
    raise IngressRefused(f"{folder} holds no rendered ingress", "render one: isthmus ingress render nginx --out FOLDER")


def read_files(folder: Path) -> Files:
    """All rendered files of `folder`; keys and chains that stand beside them are left alone."""
    beside = {nginx.CHAIN, nginx.KEY}
    try:
        paths = [path for path in sorted(folder.iterdir()) if path.name not in beside and not path.name.startswith(".")]
        if any(path.stat().st_size > LARGEST_FILE for path in paths if path.is_file()):
            raise IngressRefused(f"{folder} holds a file that is larger than any configuration")
        return {path.name: path.read_text(encoding="utf-8", errors="replace") for path in paths if path.is_file()}
    except OSError as error:
        raise IngressRefused(f"{folder} cannot be read ({error.strerror})") from None


def lint(kind: Kind, files: Files) -> list[str]:
    """What is wrong with a rendering, a line for each; empty if nothing is."""
    return LINTERS[kind](files)
