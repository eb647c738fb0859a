"""Transactions that change what the Federator and the ingress go by: each raises the generation."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from isthmus.server.ports import Store, Transaction


class FederationChanges:
    """`listeners` hear of the new generation once it is on disk."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.listeners: list[Callable[[int], None]] = []

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Transaction]:
        """Like that of the store. Whoever changes a remote locks it before the federation's facts."""
        async with self._store.transaction() as tx:
            yield tx
            generation = await tx.federation.advance()
        self.tell(generation)

    async def within(self, tx: Transaction, afterwards: list[Callable[[], None]]) -> None:
        """The same for a transaction that somebody else began, and who runs `afterwards` once it is committed."""
        generation = await tx.federation.advance()
        afterwards.append(lambda: self.tell(generation))

    def tell(self, generation: int) -> None:
        for told in self.listeners:
            told(generation)
