"""`python -m tests.image ARCHIVE`: build the image, and put it there as a docker archive."""

from __future__ import annotations

import sys
from pathlib import Path

from tests.image import build, programs


def main(arguments: list[str]) -> int:
    if len(arguments) != 1:
        print("usage: python -m tests.image ARCHIVE", file=sys.stderr)
        return 2
    try:
        programs.ensure()
    except programs.CannotBuild as error:
        print(f"the image can not be built: {error}", file=sys.stderr)
        return 1
    archive = build.archive_at(Path(arguments[0]))
    print(f"{build.NAME} is in {archive}, {archive.stat().st_size / 1e6:.0f} MB")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
