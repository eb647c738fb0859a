"""The stores that the contract suite runs on."""

from tests.stores import backend_name, database_url, empty_database_url, postgres, sqlite_template, store

__all__ = ["backend_name", "database_url", "empty_database_url", "postgres", "sqlite_template", "store"]
