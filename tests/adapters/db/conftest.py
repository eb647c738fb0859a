"""The stores that the tests of the database adapter use."""

from tests.stores import backend_name, database_url, empty_database_url, postgres, sqlite_template, store

__all__ = ["backend_name", "database_url", "empty_database_url", "postgres", "sqlite_template", "store"]
