"""The CPythons of this machine that are new enough: those on PATH, and those of pyenv."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

OLDEST = (3, 11)

_ABOUT = """
import json, platform, sys
try:
    import test.lock_tests
    suite = True
except ImportError:
    suite = False
print(json.dumps([platform.python_implementation(), list(sys.version_info[:3]), suite]))
"""


@dataclass(frozen=True)
class Python:
    """One interpreter. `has_suite` says whether it came with CPython's own tests."""

    path: str
    version: str
    has_suite: bool


def found() -> list[Python]:
    """One interpreter of each version, this one first."""
    pythons: dict[str, Python] = {}
    for path in _candidates():
        python = _about(path)
        if python is not None:
            pythons.setdefault(python.version, python)
    return sorted(pythons.values(), key=lambda python: [int(part) for part in python.version.split(".")])


def _candidates() -> list[str]:
    paths = [sys.executable]
    for folder in os.environ.get("PATH", "").split(os.pathsep):
        paths += [str(Path(folder) / f"python3.{minor}") for minor in range(11, 20)]
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    paths += [str(version / "bin" / "python") for version in sorted(pyenv.glob("3.*"))]
    return [path for path in paths if os.access(path, os.X_OK)]


def _about(path: str) -> Python | None:
    answer = subprocess.run([path, "-c", _ABOUT], capture_output=True, text=True, check=False, timeout=60)
    if answer.returncode != 0:
        return None
    implementation, version, has_suite = json.loads(answer.stdout)
    if implementation != "CPython" or tuple(version) < OLDEST:
        return None
    return Python(path, ".".join(str(part) for part in version), has_suite)
