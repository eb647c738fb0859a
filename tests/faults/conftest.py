"""Databases for the backends under faults."""

from tests.stores import postgres

__all__ = ["postgres"]
