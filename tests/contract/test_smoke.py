async def test_x(store):
    await store.check()
    async with store.reading() as tx:
        assert await tx.networks.all() == []
