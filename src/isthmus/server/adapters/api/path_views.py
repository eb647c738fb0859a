"""What the API shows of ways between peers."""

from datetime import datetime

from pydantic import Field

from isthmus.server.adapters.api.views import PeerName, View


class PathView(View):
    """`rx`, `tx` (bytes as the asked peer counts them) and `latest_handshake` are of the tunnel between the two."""

    other: PeerName
    direct: bool | None = Field(description="null: no agent that is in touch with the server says so")
    via: str | None = Field(description="name of the jump peer in between, null on a direct way")
    since: datetime | None
    round_trip_us: int | None = Field(description="microseconds, null = not measured")
    rx: int | None
    tx: int | None
    latest_handshake: datetime | None
