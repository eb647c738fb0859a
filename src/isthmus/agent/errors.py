"""What the agent refuses and what can break on its way; each message says what to do."""

from dataclasses import dataclass

from isthmus.domain.errors import Refusal


@dataclass(eq=False)
class InvalidSettings(Refusal):
    code = "agent_settings_invalid"
    key: str
    source: str
    remedy: str

    def __str__(self) -> str:
        return f"setting {self.key!r} in {self.source}: {self.remedy}"


@dataclass(eq=False)
class NotEnrolled(Refusal):
    code = "agent_not_enrolled"
    mend = "enroll this host first: isthmus agent enroll --server URL"
    folder: str

    def __str__(self) -> str:
        return f"this host is not enrolled: there is no identity in {self.folder}"


@dataclass(eq=False)
class AlreadyEnrolled(Refusal):
    code = "agent_already_enrolled"
    mend = "to enroll it anew, leave first: isthmus agent leave"
    peer: str
    network: str

    def __str__(self) -> str:
        return f"this host is already enrolled, as {self.peer} of {self.network}"


@dataclass(eq=False)
class EnrollmentRefused(Refusal):
    """The server's answer to an enrollment; `problem` is the code of its problem document."""

    code = "agent_enrollment_refused"
    problem: str
    detail: str

    def __str__(self) -> str:
        return f"the server refused the enrollment: {self.detail} ({self.problem})"


@dataclass(eq=False)
class InstanceRefused(Refusal):
    """The server's answer to whoever asked for a leaf; `hint` is its own."""

    code = "agent_instance_refused"
    detail: str
    hint: str = ""

    def __str__(self) -> str:
        return f"the server gives no leaf: {self.detail}" + (f" ({self.hint})" if self.hint else "")


@dataclass(eq=False)
class SessionEnded(Refusal):
    code = "agent_session_ended"
    mend = "to return, enroll with a new token: isthmus agent enroll --server URL"

    def __str__(self) -> str:
        return (
            "the server ended this host's session (revoked, or the peer deleted or enrolled anew); the tunnel is down"
        )


@dataclass(eq=False)
class AgentBusy(Refusal):
    code = "agent_busy"
    mend = "stop it first (systemctl stop isthmus-agent), or give this one another state_dir"
    folder: str

    def __str__(self) -> str:
        return f"another agent is using {self.folder}"


@dataclass(eq=False)
class InsecureServer(Refusal):
    code = "agent_insecure_server"
    mend = "use https://, or set allow_http = true where nobody else can listen in"
    server: str

    def __str__(self) -> str:
        return f"{self.server} would carry the token in clear"


@dataclass(eq=False)
class ForeignInterface(Refusal):
    code = "agent_foreign_interface"
    mend = "rename it, or give this network another name: ISTHMUS_AGENT_INTERFACE=NAME"
    interface: str

    def __str__(self) -> str:
        return f"there is an interface {self.interface} that this agent did not make; it is left alone"


@dataclass(eq=False)
class WireGuardMissing(Refusal):
    code = "agent_wireguard_missing"
    backend: str
    remedy: str

    def __str__(self) -> str:
        return f"no WireGuard for backend {self.backend!r}: {self.remedy}"


@dataclass(eq=False)
class UnsupportedConfig(Refusal):
    code = "agent_config_unsupported"
    mend = "update isthmus on this host"
    features: tuple[str, ...]

    def __str__(self) -> str:
        return f"the config requires {', '.join(self.features)}, which this agent does not know; the old one stays"


@dataclass(eq=False)
class InvalidConfig(Refusal):
    code = "agent_config_invalid"
    problem: str

    def __str__(self) -> str:
        return f"the config is not valid, the old one stays: {self.problem}"


class ToolFailed(Exception):
    """A program of the system failed or took too long. Never carries its standard input, which may be secret."""


class Unreachable(Exception):
    """The server did not answer, or something else answered in its place. Worth another try later."""


class Blocked(Unreachable):
    """An incident suspends this host's session. The state is kept: it is good again once somebody resolves that."""

    def __init__(self, said: str, incident: str) -> None:
        super().__init__(said)
        self.incident = incident
