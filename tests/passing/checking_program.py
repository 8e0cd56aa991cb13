"""Passes each primitive on in one way: `python -m tests.passing.checking_program <way> <method> [named]`.

It makes them; whoever they are passed on to finds out that they are the same. It prints each kind that was.
"""

from __future__ import annotations

import sys

from tests.passing.kinds import MAKERS, check
from tests.passing.ways import way


def main() -> None:
    way_name, method, *named = sys.argv[1:]
    for kind, make in MAKERS.items():
        primitive = make(f"{way_name} {method} {kind}" if named else None)
        with way(way_name, method, primitive) as elsewhere:
            check(kind, primitive, elsewhere)
        print(kind)


if __name__ == "__main__":
    main()
