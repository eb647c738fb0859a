"""The name server of a jump peer. Only `service` may be imported elsewhere: the others bring the packets' library."""
