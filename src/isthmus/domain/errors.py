"""Refusals: what a rule says no with. I/O that broke is not a refusal and raises something else."""

from dataclasses import asdict, dataclass
from typing import Any, ClassVar
from uuid import UUID


@dataclass(eq=False)
class Refusal(Exception):
    """A rule said no. `code` is frozen API; `str()` is a sentence; `mend` tells what to do about it."""

    code: ClassVar[str]
    mend: ClassVar[str | None] = None

    def details(self) -> dict[str, Any]:
        """The refusal's own fields, for the members of a problem document that machines read."""
        return asdict(self)


@dataclass(eq=False)
class InvalidValue(Refusal):
    """A value that a field cannot take. `field` is a JSON pointer into the request, such as `/cidr_v4`."""

    code = "validation_failed"
    field: str
    problem: str
    hint: str | None = None

    def __str__(self) -> str:
        return f"{self.field.removeprefix('/')}: {self.problem}"


@dataclass(eq=False)
class NotFound(Refusal):
    code = "not_found"
    kind: str
    name: str

    def __str__(self) -> str:
        return f"there is no {self.kind} {self.name}"


@dataclass(eq=False)
class NetworkExhausted(Refusal):
    code = "network_exhausted"
    mend = "the network is full: delete peers, free reservations, or give the network a larger CIDR"
    cidr: str

    def __str__(self) -> str:
        return f"no free address is left in {self.cidr}"


@dataclass(eq=False)
class TransitionNotAllowed(Refusal):
    """A change that the present state of its subject does not allow."""

    code = "transition_not_allowed"
    subject: str
    problem: str
    hint: str | None = None

    def __str__(self) -> str:
        return f"{self.subject}: {self.problem}"


@dataclass(eq=False)
class PreconditionFailed(Refusal):
    """The caller changed a version of the object that is no longer the present one."""

    code = "precondition_failed"
    mend = "read the object again and repeat the change on its present ETag"
    expected: int
    actual: int

    def __str__(self) -> str:
        return f"the object is at version {self.actual}, the change was made for version {self.expected}"


@dataclass(eq=False)
class ConfigAlreadyShown(Refusal):
    code = "config_already_shown"
    mend = "regenerate the config, which makes a new key pair and ends the old one"
    peer: str

    def __str__(self) -> str:
        return f"the config of {self.peer} was shown when it was made and is not kept"


@dataclass(eq=False)
class EnrollmentTokenInvalid(Refusal):
    """One answer for unknown, expired, used and revoked tokens: whoever guesses learns nothing."""

    code = "enrollment_token_invalid"
    mend = "ask for a new token: isthmus peer token NAME"

    def __str__(self) -> str:
        return "the enrollment token is not valid"


@dataclass(eq=False)
class Unauthenticated(Refusal):
    code = "unauthenticated"
    mend = "sign in, or send a valid token as 'Authorization: Bearer …'"
    reason: str = "no valid credentials"

    def __str__(self) -> str:
        return self.reason


@dataclass(eq=False)
class Forbidden(Refusal):
    code = "forbidden"
    reason: str

    def __str__(self) -> str:
        return self.reason


@dataclass(eq=False)
class CsrfFailed(Refusal):
    """A change that carries a browser's session and was not sent by a page of ours."""

    code = "csrf_failed"
    mend = "reload the page and sign in again; scripts use a token: Authorization: Bearer …"
    reason: str

    def __str__(self) -> str:
        return self.reason


@dataclass(eq=False)
class OriginNotAllowed(Refusal):
    code = "origin_not_allowed"
    mend = 'if that is how people reach this server, name it in the setting origins, such as ["https://mesh.example"]'
    origin: str

    def __str__(self) -> str:
        return f"pages of {self.origin} may not open this"


@dataclass(eq=False)
class ReplayDetected(Refusal):
    """`nonce` is the one that the next report must carry."""

    code = "replay_detected"
    mend = "report again with the nonce of this answer"
    nonce: str

    def __str__(self) -> str:
        return "the report does not carry the nonce of the last acknowledgement"


@dataclass(eq=False)
class AgentBlocked(Refusal):
    """The peer of this session is blocked by an open incident: nothing is said to its agent but this."""

    code = "agent_blocked"
    mend = "an operator resolves the incident: isthmus incident resolve ID"
    incident: str

    def __str__(self) -> str:
        return f"this peer is blocked by incident {self.incident}"


@dataclass(eq=False)
class AgentSessionConflict(Refusal):
    """Two agents speak with one session. Which of them is the rightful one cannot be told from here."""

    code = "agent_session_conflict"
    mend = "stop the copy, then let an operator resolve the incident: isthmus incident resolve ID"
    incident: str

    def __str__(self) -> str:
        return "another agent uses the same session"


@dataclass(eq=False)
class CsrInvalid(Refusal):
    """A certificate request (PKCS #10) from which no leaf is made."""

    code = "csr_invalid"
    mend = "make it with openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj / -keyout key.pem"
    problem: str

    def __str__(self) -> str:
        return f"the certificate request {self.problem}"


@dataclass(eq=False)
class RateLimited(Refusal):
    code = "rate_limited"
    retry_after: int

    def __str__(self) -> str:
        return f"too many attempts: try again in {self.retry_after} s"


def network_not_found(name: UUID | str) -> NotFound:
    return NotFound("network", str(name))


def peer_not_found(name: UUID | str) -> NotFound:
    return NotFound("peer", str(name))
