"""The stores that the control socket is tested on."""

from tests.stores import backend_name, database_url, postgres, sqlite_template, store

__all__ = ["backend_name", "database_url", "postgres", "sqlite_template", "store"]
