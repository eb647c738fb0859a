"""Isthmus: a controller for WireGuard meshes whose backends federate."""

__version__ = "0.1.0"
