"""The programs that build an image without a container engine: installed by ourselves, where that is allowed."""

from __future__ import annotations

import os
import shutil
import subprocess
from typing import Final

PACKAGES: Final = ("buildah", "mmdebstrap", "debian-archive-keyring", "util-linux", "ca-certificates")
"""Debian's. With the programs that are looked for in `_PROGRAMS`."""

_PROGRAMS: Final = ("buildah", "mmdebstrap", "unshare")


class CannotBuild(Exception):
    """No image can be built on this machine; says why, and what would be needed."""


def ensure() -> None:
    """Make sure that the programs are there.

    Raises:
        CannotBuild: they are not, and can not be installed.
    """
    if os.geteuid() != 0:
        raise CannotBuild("it needs root, for a root file system with other users in it: sudo make image-test")
    if missing():
        _install()
    if left := missing():
        raise CannotBuild(f"no {', '.join(left)} after the installation of {', '.join(PACKAGES)}")


def missing() -> list[str]:
    return [program for program in _PROGRAMS if shutil.which(program) is None]


def _install() -> None:
    if shutil.which("apt-get") is None:
        raise CannotBuild(f"no {', '.join(missing())}, and no apt-get to install {', '.join(PACKAGES)} with")
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    for words in (["update"], ["install", "--yes", "--no-install-recommends", *PACKAGES]):
        command = ["apt-get", "--quiet", *words]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise CannotBuild(f"apt-get {words[0]} failed: {done.stdout[-1000:]}{done.stderr[-1000:]}")
