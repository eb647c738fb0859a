"""The store on SQLite or PostgreSQL: one schema, one set of statements, two ways to run them."""

from isthmus.server.adapters.db.store import SqlStore, migrate, open_store

__all__ = ["SqlStore", "migrate", "open_store"]
