"""The people of this backend as others may see them: their handles, and who is shown whom."""

import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from isthmus.domain.errors import InvalidValue
from isthmus.domain.federation.names import HANDLE, BackendDomain

LONGEST_NAME = 255
MOST_OVERRIDES = 1_000


class Visibility(StrEnum):
    """What a remote needs in order to see a user; each value allows what the one before it does."""

    NOBODY = "nobody"
    HANDLE = "handle"
    SEARCH = "search"


@dataclass(frozen=True, slots=True)
class User:
    """A person of this backend. `overrides` say for single remotes what `visibility` says for all others."""

    id: UUID
    handle: str
    display_name: str
    visibility: Visibility
    created_at: datetime
    overrides: Mapping[BackendDomain, Visibility] = field(default_factory=dict)
    version: int = 1

    def shown_to(self, remote: BackendDomain) -> Visibility:
        """What holds for `remote`: its own override where there is one, however much wider or narrower it is."""
        return self.overrides.get(remote, self.visibility)

    def is_found_by_handle(self, remote: BackendDomain) -> bool:
        return self.shown_to(remote) is not Visibility.NOBODY

    def is_found_by_search(self, remote: BackendDomain) -> bool:
        return self.shown_to(remote) is Visibility.SEARCH


def parse_handle(text: str, field: str = "/handle") -> str:
    """Raises `InvalidValue` for `field`."""
    if not HANDLE.fullmatch(text):
        hint = "use lower-case letters, digits, dots, hyphens and underscores: at most 63, the first a letter or digit"
        raise InvalidValue(field, "is no handle", hint)
    return text


def parse_display_name(text: str, field: str = "/display_name") -> str:
    """One line of text. Control characters and those that turn the writing direction would change how it reads."""
    if len(text) > LONGEST_NAME:
        raise InvalidValue(field, f"is longer than {LONGEST_NAME} characters")
    if any(unicodedata.category(character) in {"Cc", "Cs", "Zl", "Zp"} or _turns(character) for character in text):
        raise InvalidValue(field, "holds control characters", "write one line of plain text")
    return text


def _turns(character: str) -> bool:
    return character in "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"


def folded(text: str) -> str:
    """How names are compared in a search: without regard to case and to how accents are composed."""
    return unicodedata.normalize("NFKC", text).casefold()
