"""Calls of the component `directory`: who is there. Text of a remote is text: bounded, and free of control bytes."""

from typing import Annotated

from msgspec import Meta, Struct

Handle = Annotated[str, Meta(pattern=r"\A[a-z0-9][a-z0-9._-]{0,62}\Z")]
Text = Annotated[str, Meta(max_length=255, pattern=r"\A[^\x00-\x1f\x7f-\x9f]*\Z")]
Id = Annotated[str, Meta(pattern=r"\A[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\Z")]


class GetUser(Struct, frozen=True, forbid_unknown_fields=True):
    handle: Handle


class UserProfile(Struct, frozen=True):
    """A user of the backend that answers. Whoever asked qualifies `id` and `handle` by the domain that it asked, never
    by `domain`, which is there for people."""

    id: Id
    handle: Handle
    display_name: Text = ""
    domain: Text = ""


class SearchUsers(Struct, frozen=True, forbid_unknown_fields=True):
    begins: Annotated[str, Meta(min_length=2, max_length=63)]
    limit: Annotated[int, Meta(ge=1, le=100)] = 20


class FoundUsers(Struct, frozen=True):
    users: Annotated[list[UserProfile], Meta(max_length=100)]


class GetInstance(Struct, frozen=True, forbid_unknown_fields=True):
    instance: Id


class Instance(Struct, frozen=True):
    instance: Id
    name: Text
