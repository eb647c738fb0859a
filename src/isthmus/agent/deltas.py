"""A config and a change of it become the next config."""

import msgspec

from isthmus.protocol import agent as wire


def applied(config: wire.Config, delta: wire.Delta) -> wire.Config:
    """`config` with `delta` made true; that the one fits the other is for the caller to see."""
    neighbours = {neighbour.public_key: neighbour for neighbour in config.neighbours}
    for key in delta.remove:
        neighbours.pop(key, None)
    neighbours.update((neighbour.public_key, neighbour) for neighbour in delta.upsert)
    fields = {name: getattr(delta.frame, name) for name in delta.frame.__struct_fields__}
    given = {name: value for name, value in fields.items() if value is not msgspec.UNSET}
    return msgspec.structs.replace(config, neighbours=tuple(neighbours.values()), **given)
