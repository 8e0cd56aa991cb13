"""The programs of the distribution that a node needs; installed if they are missing."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

PACKAGES: Final = {
    "containerd": "containerd",
    "ctr": "containerd",
    "runc": "runc",
    "/usr/lib/cni/bridge": "containernetworking-plugins",
    "ip": "iproute2",
    "unshare": "util-linux",
    "setpriv": "util-linux",
    "mount": "mount",
    "openssl": "openssl",
}
"""By a program, or the path of one that is not in PATH: the package of Debian and Ubuntu that has it."""

_INSTALL_SECONDS: Final = 600


class NotHere(Exception):
    """No node can run on this machine; says why, and what would be needed."""


def missing() -> list[str]:
    """The packages of the programs that are not here."""
    return sorted({package for program, package in PACKAGES.items() if not _is_here(program)})


def install() -> None:
    """Install what is missing.

    Raises:
        NotHere: they can not be had.
    """
    packages = missing()
    if not packages:
        return
    if shutil.which("apt-get") is None:
        raise NotHere(f"a node needs {', '.join(packages)}, and there is no apt-get to install them")
    print(f"installing {', '.join(packages)} ...", file=sys.stderr)
    for words in (["update"], ["install", "--yes", "--no-install-recommends", *packages]):
        _apt_get(*words)


def _apt_get(*words: str) -> None:
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    command = ["apt-get", "--quiet", *words]
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=_INSTALL_SECONDS, check=False
    )
    if done.returncode:
        raise NotHere(f"apt-get {words[0]} failed: {done.stdout[-1000:]}{done.stderr[-1000:]}")


def _is_here(program: str) -> bool:
    return Path(program).exists() if program.startswith("/") else shutil.which(program) is not None
