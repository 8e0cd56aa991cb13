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


def missing() -> list[str]:
    """The packages of the programs that are not here."""
    return sorted({package for program, package in PACKAGES.items() if not _is_here(program)})


def why_not() -> str:
    """Why they can not be had, or nothing."""
    if missing() and shutil.which("apt-get") is None:
        return f"a node needs {', '.join(missing())}, and there is no apt-get to install them"
    return ""


def install() -> None:
    """Install what is missing, without starting anything of it."""
    packages = missing()
    if not packages:
        return
    print(f"installing {', '.join(packages)} ...", file=sys.stderr)
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive", "RUNLEVEL": "1"}
    for words in (["update", "-qq"], ["install", "-qq", "-y", "--no-install-recommends", *packages]):
        subprocess.run(["apt-get", *words], env=environment, check=True, timeout=_INSTALL_SECONDS)


def _is_here(program: str) -> bool:
    return Path(program).exists() if program.startswith("/") else shutil.which(program) is not None
