"""`python -m tests.node [PYTEST'S ARGUMENTS]`: the tests on a real node, in a box. What `make e2e` calls."""

from __future__ import annotations

import os
import sys
from typing import Final

from tests.cluster import binaries
from tests.image import build, programs
from tests.node import box, images, packages

TESTS: Final = "tests/node"


def main() -> int:
    """Prepare everything that needs a network or much time, then run the tests where neither is."""
    reason = _why_not()
    if reason:
        print(f"NOT TESTED: {reason}", file=sys.stderr)
        return int(os.environ.get("CI") == "true")
    packages.install()
    programs.ensure()
    binaries.find_node()
    archives = [images.build_pause(binaries.cache_folder(os.environ)), build.archive()]
    return box.run([sys.executable, "-m", "pytest", TESTS, *sys.argv[1:]], archives)


def _why_not() -> str:
    if sys.platform != "linux":
        return "a node needs Linux"
    if os.geteuid() != 0:
        return "a node needs root: sudo make e2e"
    return packages.why_not()


if __name__ == "__main__":
    sys.exit(main())
