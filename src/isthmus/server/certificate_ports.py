"""What the use cases around the backend's own certificates need: rows in the store, and files."""

from collections.abc import Iterable, Sequence
from typing import Protocol

from isthmus.protocol.message_key import MessageKey
from isthmus.server.certificate_records import OwnAuthority, OwnBundle, OwnKey, OwnLeaf, Purpose
from isthmus.x509.authority import Authority, Issued
from isthmus.x509.pair import Pair


class MaterialUnusable(Exception):
    """A file of the backend's own CA or keys is missing or damaged: one sentence that names it and says what to do."""


class NoRoom(MaterialUnusable):
    """There is no room for another file of it; what was there is as it was."""


class OwnTrustRows(Protocol):
    """The backend's own authorities, message keys, leaves and bundle."""

    async def bundle(self) -> OwnBundle | None: ...
    async def lock(self) -> OwnBundle | None:
        """The bundle, which nobody else changes until this transaction ends."""

    async def authorities(self) -> list[OwnAuthority]:
        """In order of publication, as all lists here."""

    async def keys(self) -> list[OwnKey]: ...
    async def leaves(self) -> list[OwnLeaf]: ...
    async def put_bundle(self, bundle: OwnBundle) -> None: ...
    async def put_authorities(self, authorities: Iterable[OwnAuthority]) -> None: ...
    async def put_keys(self, keys: Iterable[OwnKey]) -> None: ...
    async def put_leaves(self, leaves: Iterable[OwnLeaf]) -> None: ...
    async def drop_authorities(self, fingerprints: Sequence[bytes]) -> None: ...
    async def drop_keys(self, ids: Sequence[str]) -> None: ...
    async def drop_leaves(self, serials: Sequence[int]) -> None: ...


class Material(Protocol):
    """The files. Its calls block, on the disk and on its syncs, and raise `MaterialUnusable`."""

    def prepare(self) -> None:
        """Make folders and the random keys of contexts and listeners, as far as they are not there."""

    def found_authority(self) -> Authority | None:
        """The CA that the files point to, if there is one."""

    def authority(self, fingerprint: bytes) -> Authority: ...
    def keep_authority(self, authority: Authority, key_file: str | None = None) -> None:
        """Store a CA beside the one in use. With `key_file` its key stays there."""

    def use_authority(self, fingerprint: bytes) -> None:
        """Turn the files to that CA; nothing happens where they point to it already."""

    def message_key(self, key_id: str) -> MessageKey: ...
    def found_message_key(self) -> MessageKey | None: ...
    def keep_message_key(self, key: MessageKey) -> None: ...
    def use_message_key(self, key_id: str) -> None: ...
    def forget(self, authorities: Sequence[bytes], keys: Sequence[str]) -> None:
        """Delete private keys that are in use no more."""

    def pair(self, purpose: Purpose) -> Pair | None:
        """The pair in use; None where there is none or it is damaged."""

    def install(self, purpose: Purpose, issued: Issued) -> None:
        """Swap in a new pair, whole, and keep the last one."""
