"""Process 1 of the box: `python -m tests.node.inside COMMAND...`.

It sets up mounts and network, runs the command, buries what is orphaned meanwhile, and ends with the command; the
kernel kills whatever else still runs in the box then.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Final

from tests.node.box import FOLDER_VARIABLE, SHARED_SETTINGS

GATEWAY: Final = "10.244.0.1"
SERVICE: Final = "10.0.0.1"
BRIDGE: Final = "pods0"


def main() -> int:
    folder = Path(os.environ[FOLDER_VARIABLE])
    for number in (signal.SIGINT, signal.SIGHUP):
        # A handler, because what is ignored here would be ignored by the command as well.
        signal.signal(number, lambda *_: None)
    _cover_shared_settings(folder)
    _cover_folders(folder)
    _make_network()
    child = os.spawnvp(os.P_NOWAIT, sys.argv[1], sys.argv[1:])
    return _bury_until(child)


def _bury_until(child: int) -> int:
    """Whoever loses its parent in the box becomes a child of process 1, and is waited for here."""
    while True:
        pid, status = os.wait()
        if pid == child:
            return os.waitstatus_to_exitcode(status) & 0xFF


def _cover_shared_settings(folder: Path) -> None:
    """Files stand in the place of the machine's settings, for whoever writes to them in here."""
    covers = folder / "settings"
    covers.mkdir()
    for name in SHARED_SETTINGS:
        path = Path("/proc/sys", name)
        if path.exists():
            cover = covers / name.replace("/", ".")
            cover.write_text(path.read_text())
            _run("mount", "--bind", str(cover), str(path))


def _cover_folders(folder: Path) -> None:
    """What would land in folders of the machine lands in the box's own, or in memory."""
    _run("mount", "-t", "tmpfs", "-o", "mode=755", "tmpfs", "/run")
    for name in ("netns", "lock", "containerd"):
        Path("/run", name).mkdir()
    for name in ("/var/log", "/var/lib/cni", "/var/lib/kubelet", "/var/lib/containerd"):
        cover = folder / "covers" / name.strip("/").replace("/", "-")
        cover.mkdir(parents=True)
        Path(name).mkdir(parents=True, exist_ok=True)
        _run("mount", "--bind", str(cover), name)


def _make_network() -> None:
    """Loopback, a bridge for the pods, and the address under which pods look for the API server. No way out."""
    _run("ip", "link", "set", "lo", "up")
    # With an address of its own: else it takes that of a pod, and another one when that pod goes.
    _run("ip", "link", "add", BRIDGE, "address", "02:00:00:00:00:01", "type", "bridge")
    _run("ip", "address", "add", f"{GATEWAY}/24", "dev", BRIDGE)
    _run("ip", "link", "set", BRIDGE, "up")
    _run("ip", "address", "add", f"{SERVICE}/32", "dev", "lo")


def _run(*words: str) -> None:
    subprocess.run(words, check=True)


if __name__ == "__main__":
    sys.exit(main())
