"""Calls of the component `resources`: what a grant opens of the resources of another backend."""

from typing import Annotated, Any

from msgspec import Meta, Struct

Kind = Annotated[str, Meta(pattern=r"\A[a-z][a-z0-9-]{0,62}\Z")]
ResourceId = Annotated[str, Meta(pattern=r"\A[!-~]{1,255}\Z")]
Text = Annotated[str, Meta(max_length=255, pattern=r"\A[^\x00-\x1f\x7f-\x9f]*\Z")]
MOST_FIELDS = 32
MOST_LISTED = 100


class GetResource(Struct, frozen=True, forbid_unknown_fields=True):
    kind: Kind
    id: ResourceId


class Resource(Struct, frozen=True):
    """`owner` is the backend that answers: it alone holds the resource. `fields` depend on the kind."""

    kind: Kind
    id: ResourceId
    owner: Text
    fields: dict[str, Any]


class ListResources(Struct, frozen=True, forbid_unknown_fields=True):
    """`after` is the id of the last resource of the page before."""

    kind: Kind
    limit: Annotated[int, Meta(ge=1, le=MOST_LISTED)] = MOST_LISTED
    after: ResourceId | None = None
    id: None = None


class FoundResources(Struct, frozen=True):
    resources: Annotated[list[Resource], Meta(max_length=MOST_LISTED)]


class UpdateResource(Struct, frozen=True, forbid_unknown_fields=True):
    kind: Kind
    id: ResourceId
    changes: Annotated[dict[str, Any], Meta(min_length=1, max_length=MOST_FIELDS)]


class ExportResource(Struct, frozen=True, forbid_unknown_fields=True):
    kind: Kind
    id: ResourceId


class Exported(Struct, frozen=True):
    kind: Kind
    id: ResourceId
    owner: Text
    document: dict[str, Any]


class GetGrants(Struct, frozen=True, forbid_unknown_fields=True):
    kind: Kind
    id: ResourceId | None = None


class GrantEntry(Struct, frozen=True):
    """Times are seconds since 1970."""

    id: Text
    subject: Text
    kind: Kind
    resource_id: ResourceId | None
    scopes: list[str]
    expires_at: float
    revoked: bool


class FoundGrants(Struct, frozen=True):
    grants: Annotated[list[GrantEntry], Meta(max_length=MOST_LISTED)]
