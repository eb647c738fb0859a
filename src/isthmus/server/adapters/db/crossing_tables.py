"""The table of crossings."""

from sqlalchemy import JSON, Column, Index, Table

from isthmus.server.adapters.db.schema import belongs_to, metadata, required
from isthmus.server.adapters.db.types import Id

# What follows from bridges and grants, as the agents of the network were told it last.
crossings = Table(
    "crossings",
    metadata,
    Column("bridge_id", Id, primary_key=True),
    required("network_id", Id, belongs_to("networks.id")),
    required("state", JSON),
    Index(None, "network_id"),
)
