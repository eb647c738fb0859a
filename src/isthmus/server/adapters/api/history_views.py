"""What the API shows of the history of configs."""

from datetime import datetime

from pydantic import Field

from isthmus.server.adapters.api.views import Listing, View


class ConfigRevisionView(View):
    """A revision that changed the peer's config: at what event, of the peer or network called `subject`."""

    revision: int
    at: datetime
    event: str = Field(examples=["peer.changed"])
    subject: str


class ConfigRevisionsView(Listing[ConfigRevisionView]):
    """Newest first."""

    begins: int = Field(description="the network's first revision that is known; nothing before it is")


class NeighbourView(View):
    name: str
    public_key: str
    role: str = Field(examples=["primary"])
    allowed_ips: list[str]
    endpoint: str | None
    keepalive: int | None
    candidates: list[str]


class ConfigAtView(View):
    """What the peer was told at `revision`. `text` has all of it, in wg-quick's syntax, without a private key."""

    revision: int
    text: str
    addresses: list[str]
    mtu: int
    listen_port: int | None
    routes: list[str]
    neighbours: list[NeighbourView]


class ConfigDiffView(View):
    """A unified diff of the texts; empty where they are equal. `causes` are the revisions between the two that changed
    the config, the later one among them, the newest first: the last thousand."""

    start: int
    to: int
    diff: str
    causes: list[ConfigRevisionView]
