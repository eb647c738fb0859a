"""Size budget: fails on files, functions and argument lists that grew past the hard limits.

Handlers of requests and commands may take any number of arguments: those are the fields of a request or
the options of a command, and the framework fills them in, so nobody ever writes such a call by hand. In all
other functions every argument counts, keyword-only ones too.
"""

import argparse
import ast
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

MAX_FILE_LINES = 500
MAX_FUNCTION_LINES = 60
MAX_ARGUMENTS = 5
# `@router.get(...)`, `@app.command(...)`, `@command(...)`: what makes a function a handler.
HANDLER_DECORATORS = frozenset({"get", "post", "put", "patch", "delete", "websocket", "command", "callback"})

Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True, slots=True)
class Offence:
    where: str
    problem: str

    def __str__(self) -> str:
        return f"{self.where}: {self.problem}"


def length_of(function: Function) -> int:
    """Lines from `def` to the last one, docstring and blank lines included."""
    return (function.end_lineno or function.lineno) - function.lineno + 1


def arguments_of(function: Function) -> list[str]:
    """The names that a caller has to know: not `self`, and none of a handler."""
    if any(map(_makes_a_handler, function.decorator_list)):
        return []
    positional = function.args.posonlyargs + function.args.args
    if positional and positional[0].arg in {"self", "cls"}:
        positional = positional[1:]
    return [each.arg for each in positional + function.args.kwonlyargs]


def _makes_a_handler(decorator: ast.expr) -> bool:
    return isinstance(decorator, ast.Call) and ast.unparse(decorator.func).split(".")[-1] in HANDLER_DECORATORS


def functions_of(tree: ast.Module) -> Iterator[Function]:
    return (node for node in ast.walk(tree) if isinstance(node, Function))


def offences_of(path: Path, text: str, tree: ast.Module) -> Iterator[Offence]:
    lines = text.count("\n")
    if lines > MAX_FILE_LINES:
        yield Offence(f"{path}", f"{lines} lines, at most {MAX_FILE_LINES}")
    if tree.body and ast.get_docstring(tree) is None:
        yield Offence(f"{path}", "no docstring that says what lives here")
    for function in functions_of(tree):
        where = f"{path}:{function.lineno} {function.name}"
        if (length := length_of(function)) > MAX_FUNCTION_LINES:
            yield Offence(where, f"{length} lines, at most {MAX_FUNCTION_LINES}")
        if (count := len(arguments_of(function))) > MAX_ARGUMENTS:
            yield Offence(where, f"{count} arguments, at most {MAX_ARGUMENTS}")


def python_files(roots: Iterable[Path]) -> Iterator[Path]:
    for root in roots:
        yield from [root] if root.is_file() else sorted(root.rglob("*.py"))


def percentile_95(lengths: list[int]) -> int:
    """The smallest length that 95 % of the functions stay within; 0 without functions."""
    ordered = sorted(lengths)
    return ordered[-(-len(ordered) * 95 // 100) - 1] if ordered else 0


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="budget", description=__doc__.partition("\n")[0])
    parser.add_argument("roots", nargs="+", type=Path, help="files or folders to check")
    files = list(python_files(parser.parse_args(arguments).roots))
    offences: list[Offence] = []
    lengths: list[int] = []
    for path in files:
        text = path.read_text(encoding="utf-8")
        tree = ast.parse(text, filename=str(path))
        offences += offences_of(path, text, tree)
        lengths += [length_of(function) for function in functions_of(tree)]
    for offence in offences:
        print(offence)
    summary = f"{len(files)} files, {len(lengths)} functions, 95 % of them within {percentile_95(lengths)} lines"
    print(f"size budget: {len(offences)} offences in {summary}")
    return 1 if offences else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
