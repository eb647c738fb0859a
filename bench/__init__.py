"""The benchmarks: load in this process, a real server in its own, the real protocol over real sockets between them.

`make bench` runs them all, which takes about a quarter of an hour; `python -m bench --only NAME` runs one. The crowd of
10,000 agents needs as many open files on either side: the limit is raised as far as it may be (`ulimit -Hn`). Where
PostgreSQL is missing, or network namespaces cannot be made, the rows say so and have no figure.
"""
