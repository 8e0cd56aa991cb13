"""`python -m tests.node [PYTEST'S ARGUMENTS]`: the tests on a real node, in a box. What `make e2e` calls."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Final

from tests.cluster import binaries
from tests.image import build, programs
from tests.node import box, images, packages
from tests.node.packages import NotHere

TESTS: Final = "tests/node"


def main() -> int:
    """Prepare everything that needs a network or much time, then run the tests where neither is."""
    try:
        archives = _prepare()
    except (NotHere, binaries.NoBinaries, programs.CannotBuild) as error:
        print(f"NOT TESTED: {error}", file=sys.stderr)
        return int(os.environ.get("CI") == "true")
    return box.run([sys.executable, "-m", "pytest", TESTS, *sys.argv[1:]], archives)


def _prepare() -> list[Path]:
    """The archives of the images."""
    if sys.platform != "linux":
        raise NotHere("a node needs Linux")
    if os.geteuid() != 0:
        raise NotHere("a node needs root, for namespaces, mounts and containers: sudo make e2e")
    packages.install()
    programs.ensure()
    binaries.find_node()
    return [images.build_pause(binaries.cache_folder(os.environ)), build.archive()]


if __name__ == "__main__":
    sys.exit(main())
