"""`python -m lab [mesh] [federation] [bridge]`: the way of a new user, live, in network namespaces of this machine."""

import sys

from lab.demo import PARTS, main

if __name__ == "__main__":
    wanted = sys.argv[1:] or list(PARTS)
    if unknown := sorted(set(wanted) - PARTS.keys()):
        sys.exit(f"there is no part {', '.join(unknown)}; there are: {', '.join(PARTS)}")
    sys.exit(main(wanted))
