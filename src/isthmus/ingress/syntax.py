"""nginx's configuration syntax: a tree of directives, its text, and the tree of a text."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

_PLAIN = re.compile(r"(?:\$\{\w+\}|[^\s;{}\"'#\\])+")
_BLANKS = re.compile(r"(?:\s+|#[^\n]*)+")
_IN_QUOTES = re.compile(r"[^\\\"']+")
_IN_WORD = re.compile(r"[^\s;{\\]+")
# nginx turns these pairs into one character, in quotes or not, and leaves every other backslash alone.
_ESCAPES = {'"': '"', "'": "'", "\\": "\\", "t": "\t", "r": "\r", "n": "\n"}
_ENDS = frozenset(";{}")
DEEPEST = 8


class SyntaxBroken(Exception):
    """A text that nginx would not read either; the message names the line."""


@dataclass(frozen=True, slots=True)
class Directive:
    """`name args;` or, with a block, `name args { … }`."""

    name: str
    args: tuple[str, ...] = ()
    block: tuple["Directive", ...] | None = None

    def inside(self, name: str) -> list["Directive"]:
        """The directives called `name` directly inside this one's block."""
        return [each for each in self.block or () if each.name == name]


def line(name: str, *args: object) -> Directive:
    return Directive(name, tuple(map(str, args)))


def block(name: str, *args: object, of: Sequence[Directive]) -> Directive:
    return Directive(name, tuple(map(str, args)), tuple(of))


def text_of(directives: Sequence[Directive], indent: int = 0) -> str:
    """The configuration file of `directives`, which `parse` reads back to the same tree."""
    return "".join(_lines(directives, indent))


def _lines(directives: Sequence[Directive], indent: int) -> Iterator[str]:
    margin = "    " * indent
    for each in directives:
        head = margin + " ".join(map(_quoted, (each.name, *each.args)))
        if each.block is None:
            yield f"{head};\n"
        else:
            yield f"{head} {{\n"
            yield from _lines(each.block, indent + 1)
            yield f"{margin}}}\n"


def _quoted(text: str) -> str:
    if _PLAIN.fullmatch(text):
        return text
    escaped = re.sub(r"\\(?=[\"'\\trn]|$)", r"\\\\", text).replace("'", r"\'")
    for character in "\t\r\n":
        escaped = escaped.replace(character, {"\t": r"\t", "\r": r"\r", "\n": r"\n"}[character])
    return f"'{escaped}'"


def parse(text: str) -> tuple[Directive, ...]:
    """The tree of a configuration file. Raises `SyntaxBroken`."""
    reader = _Reader(text)
    found = reader.directives(depth=0)
    if reader.next_token is not None:
        raise reader.broken("a } without its {")
    return found


class _Reader:
    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self.next_token: tuple[str, bool] | None = None
        self._advance()

    def broken(self, why: str) -> SyntaxBroken:
        number = self._text.count("\n", 0, self._at) + 1
        return SyntaxBroken(f"line {number}: {why}")

    def directives(self, depth: int) -> tuple[Directive, ...]:
        if depth > DEEPEST:
            raise self.broken("blocks too deep in each other")
        found: list[Directive] = []
        while self.next_token is not None and self.next_token != ("}", True):
            found.append(self._directive(depth))
        return tuple(found)

    def _directive(self, depth: int) -> Directive:
        words: list[str] = []
        while True:
            if self.next_token is None:
                raise self.broken("the file ends inside a directive")
            word, is_mark = self.next_token
            self._advance()
            if not is_mark:
                words.append(word)
                continue
            if not words or word == "}":
                raise self.broken(f"an unexpected {word}")
            if word == ";":
                return Directive(words[0], tuple(words[1:]))
            inner = self.directives(depth + 1)
            if self.next_token != ("}", True):
                raise self.broken(f"the block of {words[0]} is not closed")
            self._advance()
            return Directive(words[0], tuple(words[1:]), inner)

    def _advance(self) -> None:
        self._skip_blanks()
        if self._at >= len(self._text):
            self.next_token = None
            return
        character = self._text[self._at]
        if character in _ENDS:
            self._at += 1
            self.next_token = (character, True)
        elif character in "\"'":
            self.next_token = (self._quoted_word(character), False)
        else:
            self.next_token = (self._bare_word(), False)

    def _skip_blanks(self) -> None:
        found = _BLANKS.match(self._text, self._at)
        self._at = found.end() if found else self._at

    def _quoted_word(self, quote: str) -> str:
        self._at += 1
        word: list[str] = []
        while self._at < len(self._text):
            word.append(self._run(_IN_QUOTES))
            if self._at >= len(self._text):
                break
            character = self._take()
            if character == quote and not self._escaped:
                after = self._text[self._at : self._at + 1]
                if after and not after.isspace() and after not in _ENDS:
                    raise self.broken("text right behind a closing quote")
                return "".join(word)
            word.append(character)
        raise self.broken("a quote is not closed")

    def _bare_word(self) -> str:
        word: list[str] = []
        while self._at < len(self._text):
            word.append(self._run(_IN_WORD))
            character = self._text[self._at : self._at + 1]
            # `${name}` is a variable, no block.
            if character == "{" and word and word[-1].endswith("$"):
                end = self._text.find("}", self._at)
                if end < 0:
                    raise self.broken("a variable's } is missing")
                word.append(self._text[self._at : end + 1])
                self._at = end + 1
                continue
            if not character or character.isspace() or character in ";{":
                break
            word.append(self._take())
        return "".join(word)

    def _run(self, pattern: re.Pattern[str]) -> str:
        """What needs no closer look."""
        found = pattern.match(self._text, self._at)
        self._at = found.end() if found else self._at
        return found[0] if found else ""

    _escaped = False

    def _take(self) -> str:
        character = self._text[self._at]
        follower = self._text[self._at + 1 : self._at + 2]
        self._escaped = character == "\\" and follower in _ESCAPES and follower != ""
        self._at += 2 if self._escaped else 1
        return _ESCAPES[follower] if self._escaped else character
