"""`python -m lab`: the way of a new user, live, in network namespaces of this machine."""

import sys

from lab.demo import main

if __name__ == "__main__":
    sys.exit(main())
