"""Transactions that change what the Federator and the ingress go by: each raises the generation."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from isthmus.domain.federation.names import BackendDomain
from isthmus.server.ports import Store, Transaction


class FederationChanges:
    """`listeners` hear of the new generation once it is on disk. `followers` write in the same transaction what follows
    from a change of one remote, and return what is to be done once that is committed."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.listeners: list[Callable[[int], None]] = []
        self.followers: list[Callable[[Transaction, BackendDomain], Awaitable[Callable[[], None]]]] = []

    @asynccontextmanager
    async def transaction(self, concerns: BackendDomain | None = None) -> AsyncIterator[Transaction]:
        """Like that of the store. Whoever changes a remote, or its bridges and grants, says whom it `concerns`, and
        locks it before the federation's facts."""
        afterwards: list[Callable[[], None]] = []
        async with self.store.transaction() as tx:
            yield tx
            await self.within(tx, afterwards, *(() if concerns is None else (concerns,)))
        for each in afterwards:
            each()

    async def within(self, tx: Transaction, afterwards: list[Callable[[], None]], *concerned: BackendDomain) -> None:
        """The same at the end of a transaction that somebody else began, and who runs `afterwards` once it is
        committed."""
        for domain in concerned:
            afterwards += [await follow(tx, domain) for follow in self.followers]
        generation = await tx.federation.advance()
        afterwards.append(lambda: self.tell(generation))

    def tell(self, generation: int) -> None:
        for told in self.listeners:
            told(generation)
