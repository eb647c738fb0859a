"""How a check of the federation says no: what the caller is told, and what the audit log is told beside it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(eq=False)
class Denied(Exception):
    """A check said no. `code` is what the caller reads, `reason` the precise one that only the audit row gets.

    `members` are further members of the problem document (`allowed`, `expected`, `retry_after`, …); `facts` go to the
    audit row alone and hold no secret. `finding` is the kind of finding about the caller that it leaves, if any.
    """

    code: str
    reason: str = ""
    detail: str = ""
    members: Mapping[str, Any] = field(default_factory=dict)
    facts: Mapping[str, Any] = field(default_factory=dict)
    finding: str = ""

    def __post_init__(self) -> None:
        self.reason = self.reason or self.code

    def __str__(self) -> str:
        return self.detail or self.reason
