"""What an error of a driver means: a constraint that was hit, a database that is broken, or a mistake of ours."""

import sqlite3

from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, NotSupportedError, ProgrammingError

from isthmus.server.adapters.db.tables import holdings, metadata
from isthmus.server.ports import (
    AddressTaken,
    BridgeExists,
    Conflict,
    HandleTaken,
    IncidentOpen,
    InstanceNameTaken,
    KeyTaken,
    NameTaken,
    NonceSeen,
    RemoteExists,
    ServiceNameTaken,
    StoreUnavailable,
    TemplateNameTaken,
)

FOREIGN_KEY = "foreign key"  # all that SQLite tells of one
# The constraints that a use case answers in words of its own.
NAMED_CONFLICTS: dict[str, type[Conflict]] = {
    str(holdings.primary_key.name): AddressTaken,
    "uq_peers_network_id_name": NameTaken,
    "uq_peers_public_key": KeyTaken,
    "uq_network_templates_name": TemplateNameTaken,
    "uq_incidents_open": IncidentOpen,
    "uq_directory_users_handle": HandleTaken,
    "uq_remotes_live": RemoteExists,
    "uq_own_instances_name": InstanceNameTaken,
    "uq_bridges_live": BridgeExists,
    "pk_nonces": NonceSeen,
    "uq_services_name": ServiceNameTaken,
}
# SQLSTATE classes of statements that no database would run: bad data, and wrong SQL.
MISTAKES = ("22", "42")


def _constraints_by_columns() -> dict[str, str]:
    """The names of unique constraints under what SQLite says instead: `table.column, table.column`."""
    names = {}
    for table in metadata.tables.values():
        for constraint in table.constraints:
            columns = getattr(constraint, "columns", ())
            said = ", ".join(f"{table.name}.{column.name}" for column in columns)
            names[said] = str(constraint.name)
        for index in table.indexes:
            if index.unique:
                names[", ".join(f"{table.name}.{column.name}" for column in index.columns)] = str(index.name)
    return names


CONSTRAINTS_BY_COLUMNS = _constraints_by_columns()


def meaning_of(error: Exception) -> Exception:
    """What to raise for `error`: a `Conflict`, a `StoreUnavailable`, or `error` itself where the code is wrong."""
    if isinstance(error, IntegrityError):
        name = constraint_of(error)
        return NAMED_CONFLICTS.get(name, Conflict)(name)
    if isinstance(error, ProgrammingError | DataError | NotSupportedError):
        return error
    if isinstance(error, DBAPIError):
        if is_mistake(error.orig):
            return error
        return StoreUnavailable(f"the database failed: {error.orig}")
    if isinstance(error, OSError):
        return StoreUnavailable(f"the database did not answer: {str(error) or type(error).__name__}")
    return error


def is_mistake(error: BaseException | None) -> bool:
    """Whether it is the statement that is wrong, and not the database that is in trouble."""
    if isinstance(error, sqlite3.Error):
        return getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_ERROR
    return str(getattr(error, "sqlstate", None) or "").startswith(MISTAKES)


def constraint_of(error: IntegrityError) -> str:
    """The name of the constraint: PostgreSQL tells it, SQLite tells the columns of a unique one."""
    cause = error.orig.__cause__ if error.orig is not None else None
    name = getattr(cause, "constraint_name", None)
    if name is not None:
        return str(name)
    kind, _, said = str(error.orig).partition(" constraint failed: ")
    if kind == "UNIQUE":
        return CONSTRAINTS_BY_COLUMNS.get(said, said)
    return said or FOREIGN_KEY
