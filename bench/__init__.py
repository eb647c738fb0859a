"""The benchmarks: load in this process, a real server in its own, the real protocol over real sockets between them."""
