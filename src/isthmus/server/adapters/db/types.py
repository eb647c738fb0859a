"""Column types that give equal Python values on SQLite and PostgreSQL."""

import ipaddress
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, Dialect, String, Text, TypeDecorator, Uuid

from isthmus.domain.addresses import IPAddress, IPNetwork
from isthmus.domain.mesh.ipam import as_key, from_key

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)


class Id(Uuid[UUID]):
    """A UUID: PostgreSQL's own type, 32 hexadecimal digits in SQLite; both sort alike."""

    def result_processor(self, dialect: Dialect, coltype: object) -> Callable[[Any], UUID | None] | None:
        if not dialect.supports_native_uuid:
            return id_of
        native: Callable[[Any], UUID | None] | None = super().result_processor(dialect, coltype)  # type: ignore[no-untyped-call]
        return native


@lru_cache(maxsize=1024)
def id_of(digits: str | None) -> UUID | None:
    """Lists repeat one network's id in each row, and making UUIDs is a third of the work of reading them."""
    return None if digits is None else UUID(digits)


class Moment(TypeDecorator[datetime]):
    """An aware time in UTC as microseconds since 1970: SQLite has no type for times, and no float loses digits."""

    impl = BigInteger
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> int | None:
        return None if value is None else (value - EPOCH) // MICROSECOND

    def process_result_value(self, value: Any | None, dialect: Dialect) -> datetime | None:
        return None if value is None else EPOCH + timedelta(microseconds=value)


class Address(TypeDecorator[IPAddress]):
    """An address as text that sorts in address order within its family."""

    # Any other collation than bytes would be free to sort digits after letters.
    impl = String(32).with_variant(String(32, collation="C"), "postgresql")
    cache_ok = True

    def process_bind_param(self, value: IPAddress | None, dialect: Dialect) -> str | None:
        return None if value is None else as_key(value)

    def process_result_value(self, value: Any | None, dialect: Dialect) -> IPAddress | None:
        return None if value is None else from_key(value)


class Cidr(TypeDecorator[IPNetwork]):
    """A network as `address/prefix`."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: IPNetwork | None, dialect: Dialect) -> str | None:
        return None if value is None else str(value)

    def process_result_value(self, value: Any | None, dialect: Dialect) -> IPNetwork | None:
        return None if value is None else ipaddress.ip_network(value)
