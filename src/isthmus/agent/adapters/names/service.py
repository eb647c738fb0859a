"""The name server, loaded by the first config that asks for it: hosts that answer nobody do without its memory."""

from typing import TYPE_CHECKING

from isthmus.agent.naming import Naming

if TYPE_CHECKING:
    from isthmus.agent.adapters.names.listeners import Listeners


class NameService:
    """`isthmus.agent.ports.NameServer`, on the running loop."""

    def __init__(self) -> None:
        self._listeners: Listeners | None = None

    async def serve(self, interface: str, naming: Naming | None) -> tuple[str, ...]:
        if naming is not None and naming.zone is not None:
            if self._listeners is None:
                from isthmus.agent.adapters.names.listeners import Listeners

                self._listeners = Listeners()
            return await self._listeners.update(interface, naming)
        if self._listeners is not None:
            self._listeners.close()
            self._listeners = None
        return ()
