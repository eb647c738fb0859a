"""The schema's versions: forward only, each change a step in `migrations/versions`."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.script.revision import ResolutionError
from alembic.util import CommandError
from sqlalchemy import Connection, func, inspect, select

from isthmus.server.ports import StoreUnavailable

MIGRATION_LOCK = 0x15_74_6D_00


NEWEST = "head"


def upgrade(connection: Connection, to: str = NEWEST) -> None:
    """Take the steps up to `to` that the database has not taken, inside the transaction of `connection`.

    Raises `StoreUnavailable` when the database is of a newer version or of another program.
    """
    if connection.dialect.name == "postgresql":
        connection.execute(select(func.pg_advisory_xact_lock(MIGRATION_LOCK)))
    config = configured()
    config.attributes["connection"] = connection
    steps = ScriptDirectory.from_config(config)
    present = present_version(connection)
    if present is None:
        refuse_foreign(connection)
    elif not is_known(steps, present):
        raise StoreUnavailable(
            f"the database has schema {present}, this version of isthmus knows those up to {steps.get_current_head()}: "
            "start the newer isthmus that wrote it, or restore a backup from before the upgrade"
        )
    if present != steps.get_current_head():
        command.upgrade(config, to)


def configured() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).with_name("migrations")))
    return config


def present_version(connection: Connection) -> str | None:
    """The schema of the database; None where there is none."""
    return MigrationContext.configure(connection).get_current_revision()


def newest_version() -> str:
    return str(ScriptDirectory.from_config(configured()).get_current_head())


def knows(version: str) -> bool:
    """Whether this is a schema of which a way leads to the newest."""
    return is_known(ScriptDirectory.from_config(configured()), version)


def is_known(steps: ScriptDirectory, revision: str) -> bool:
    try:
        return steps.get_revision(revision) is not None
    except (CommandError, ResolutionError):
        return False


def refuse_foreign(connection: Connection) -> None:
    """A PostgreSQL schema may hold what extensions put there; a file is ours alone."""
    if connection.dialect.name == "sqlite" and inspect(connection).get_table_names():
        raise StoreUnavailable("the file is the database of another program: name another file")
