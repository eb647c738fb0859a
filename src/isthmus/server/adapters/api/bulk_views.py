"""What the API takes and shows of a bulk."""

from typing import Annotated, Literal
from uuid import UUID

from pydantic import Field

from isthmus.domain.mesh.peer import Kind
from isthmus.server.adapters.api.views import Body, IssuedView, Name, PeerBody, PeerPatch, View
from isthmus.server.application.bulk import MOST_OPERATIONS, Result

VersionText = Annotated[
    int | None, Field(ge=1, le=2**53, description="the peer's `version` that this is meant for; null: any")
]


class CreateOperation(PeerBody):
    action: Annotated[Literal["create"], Field(examples=["create"])]


class UpdateOperation(PeerPatch):
    """Fields that are left out stay as they are. `name` says which peer is meant."""

    action: Annotated[Literal["update"], Field(examples=["update"])]
    name: Name
    new_name: Name = Field(default_factory=str)
    version: VersionText = None


class DeleteOperation(Body):
    action: Annotated[Literal["delete"], Field(examples=["delete"])]
    name: Name
    version: VersionText = None
    force: bool = Field(default=False, description="although it is the last jump peer that others need")


Operation = Annotated[CreateOperation | UpdateOperation | DeleteOperation, Field(discriminator="action")]


class BulkBody(Body):
    """All operations are done, in their order, or none is."""

    operations: Annotated[
        list[Operation],
        Field(min_length=1, max_length=MOST_OPERATIONS, examples=[[{"action": "create", "name": "laptop-1"}]]),
    ]
    dry_run: Annotated[bool, Field(description="check everything and answer what would happen")] = False


class BulkPeerView(View):
    id: UUID
    name: str
    kind: Kind
    addresses: list[str]


class BulkConfigView(View):
    """A wg-quick file and a name for it."""

    text: str
    filename: str
    reaches: int


class BulkRowView(View):
    """`enrollment` and `config` are those of a new peer, shown this once."""

    result: Result
    peer: BulkPeerView
    enrollment: IssuedView | None = None
    config: BulkConfigView | None = None


class BulkView(View):
    """One row for each operation, in the order of the request."""

    dry_run: bool
    rows: list[BulkRowView]
