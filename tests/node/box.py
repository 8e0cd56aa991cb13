"""A box for a whole cluster: its own network, mount and process namespaces, its own cgroup, its own folder.

Nothing in it listens outside, and nothing of it is left: the death of its process 1 ends every process in it, with them
its mounts and its network go, and who started it removes cgroup and folder. If *that* process is killed, the kernel
kills the box, and the next run removes folder and empty cgroup.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from tests.processes.running import ROOT

FOLDER_VARIABLE: Final = "METAPARTICLE_SYNC_NODE"
"""Names the box's folder to those inside; whoever does not find it is outside."""

CGROUP_VARIABLE: Final = "METAPARTICLE_SYNC_NODE_CGROUP"
IMAGES_VARIABLE: Final = "METAPARTICLE_SYNC_NODE_IMAGES"
"""Names the archives of images, made outside where there is a network."""

CGROUPS: Final = Path("/sys/fs/cgroup")
SHARED_SETTINGS: Final = (
    "vm/overcommit_memory",
    "vm/panic_on_oom",
    "kernel/panic",
    "kernel/panic_on_oops",
    "kernel/keys/root_maxkeys",
    "kernel/keys/root_maxbytes",
)
"""Settings of the whole machine that a kubelet writes to. In the box it writes to files in their place."""

_PREFIX: Final = "metaparticle-sync-node-"
_CGROUP_SECONDS: Final = 10.0


def run(command: Sequence[str], images: Sequence[Path] = ()) -> int:
    """Run a command as the only thing that keeps the box alive, and return its exit status."""
    _remove_what_others_left()
    before = _shared_settings()
    prefix = f"{_PREFIX}{os.getpid()}-"
    with tempfile.TemporaryDirectory(prefix=prefix, ignore_cleanup_errors=True) as folder, _cgroup():
        status = _run_inside(Path(folder), command, images)
    changed = {name: value for name, value in _shared_settings().items() if value != before[name]}
    if changed:
        print(f"the box has changed settings of the machine: {changed}", file=sys.stderr)
    left = [str(path) for path in (*_own_cgroups(), Path(folder)) if path.exists()]
    if left:
        print(f"the box has left something behind: {left}", file=sys.stderr)
    return status or int(bool(changed or left))


def cgroup_name() -> str:
    """The cgroup of the box, below the root of each hierarchy. Inside, the name of the process outside is in it."""
    return os.environ.get(CGROUP_VARIABLE, f"{_PREFIX}{os.getpid()}")


def folder_inside() -> Path | None:
    """The folder of the box that this process runs in, if it does."""
    name = os.environ.get(FOLDER_VARIABLE)
    return Path(name) if name else None


def images_inside() -> list[Path]:
    """The archives of images that were prepared for this box."""
    return [Path(name) for name in os.environ.get(IMAGES_VARIABLE, "").split(os.pathsep) if name]


def _run_inside(folder: Path, command: Sequence[str], images: Sequence[Path]) -> int:
    environment = os.environ | {
        FOLDER_VARIABLE: str(folder),
        CGROUP_VARIABLE: cgroup_name(),
        IMAGES_VARIABLE: os.pathsep.join(map(str, images)),
    }
    words = [
        *("setpriv", "--pdeathsig", "KILL"),
        *("unshare", "--net", "--mount", "--pid", "--ipc", "--uts", "--fork", "--mount-proc", "--kill-child=KILL"),
        *("--propagation", "private", sys.executable, "-m", "tests.node.inside", *command),
    ]
    # The terminal's Ctrl-C reaches the command too: it ends in its own time, and this waits for it.
    old = {number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGINT, signal.SIGHUP)}
    try:
        box = subprocess.Popen(words, cwd=ROOT, env=environment)
        with _ended_by_sigterm(box):
            return box.wait()
    finally:
        for number, handler in old.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def _ended_by_sigterm(box: subprocess.Popen[bytes]) -> Iterator[None]:
    old = signal.signal(signal.SIGTERM, lambda *_: box.kill())
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, old)


@contextlib.contextmanager
def _cgroup() -> Iterator[None]:
    for path in _own_cgroups():
        path.mkdir()
        _allow_all_processors(path)
    try:
        yield
    finally:
        for path in _own_cgroups():
            _remove_cgroup(path)


def _own_cgroups() -> list[Path]:
    return [hierarchy / cgroup_name() for hierarchy in _hierarchies()]


def _hierarchies() -> list[Path]:
    """The one of version 2, or all of version 1, each once though it may have several names."""
    if (CGROUPS / "cgroup.controllers").exists():
        return [CGROUPS]
    found = (path for path in sorted(CGROUPS.iterdir()) if path.is_dir() and not path.is_symlink())
    return [path for path in found if (path / "cgroup.procs").exists()]


def _allow_all_processors(path: Path) -> None:
    """A new cpuset of version 1 is empty, and nothing may run in it."""
    for name in ("cpuset.cpus", "cpuset.mems"):
        if (path / name).exists() and (path.parent / name).exists():
            (path / name).write_text((path.parent / name).read_text())


def _remove_cgroup(path: Path) -> None:
    """Remove it with all below. Its last processes may need a moment to be gone."""
    give_up_at = time.monotonic() + _CGROUP_SECONDS
    while path.exists() and time.monotonic() < give_up_at:
        for folder, _, _ in os.walk(path, topdown=False):
            with contextlib.suppress(OSError):
                Path(folder).rmdir()
        time.sleep(0.01)


def _remove_what_others_left() -> None:
    """Cgroups and folders have the process that made them in their name; it is gone if it was killed."""
    for hierarchy in _hierarchies():
        for path in filter(_is_left, hierarchy.glob(f"{_PREFIX}*")):
            _remove_cgroup(path)
    for path in filter(_is_left, Path(tempfile.gettempdir()).glob(f"{_PREFIX}*")):
        shutil.rmtree(path, ignore_errors=True)


def _is_left(path: Path) -> bool:
    maker = path.name.removeprefix(_PREFIX).partition("-")[0]
    return not Path("/proc", maker).exists()


def _shared_settings() -> dict[str, str]:
    paths = {name: Path("/proc/sys", name) for name in SHARED_SETTINGS}
    return {name: path.read_text() for name, path in paths.items() if path.exists()}
