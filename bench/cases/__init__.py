"""The table of benchmarks, in the order in which they run."""

from collections.abc import AsyncIterator, Callable

from bench.cases import (
    bridges,
    bridging,
    connect,
    creation,
    crowd,
    endings,
    federation,
    heartbeats,
    host,
    jump_config,
    memory,
    propagation,
    scaling,
    stalled,
)
from bench.measure import Row, Size

Benchmark = Callable[[Size], AsyncIterator[Row]]

BENCHMARKS: dict[str, Benchmark] = {
    "create": creation.on_sqlite,
    "create-postgres": creation.on_postgres,
    "jump-config": jump_config.measured,
    "connect": connect.measured,
    "propagation": propagation.measured,
    "endings": endings.measured,
    "heartbeats": heartbeats.measured,
    "memory": memory.measured,
    "scaling": scaling.measured,
    "crowd": crowd.measured,
    "stalled": stalled.measured,
    "host": host.measured,
    "federation": federation.measured,
    "bridging": bridging.measured,
    "loud-remote": federation.beside_a_loud_one,
    "bridges": bridges.measured,
}
