"""The rules of Isthmus: pure values and functions that never read a clock, a file or a socket."""
