"""The component sockets: calls of other backends that the own Federator has admitted."""
