"""An elector of the image in a container made by hand, on ports of the machine's loopback."""

from __future__ import annotations

import dataclasses
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

from tests.image.unpacked import Unpacked
from tests.processes.electors import LONG, ElectorProcess, free_port
from tests.processes.running import KnownProcess, Process, wait_until

USER = 65532
ENTER = Path(__file__).with_name("enter.sh")

# Process starts Python programs; this one becomes another.
_BECOME = ("-c", "import os, sys; os.execvp(sys.argv[1], sys.argv[1:])")


@dataclasses.dataclass(frozen=True, slots=True)
class Mount:
    """A folder of the machine that a container sees."""

    folder: Path
    place: str
    writable: bool = False

    def __str__(self) -> str:
        return f"{self.folder}={self.place}:{'rw' if self.writable else 'ro'}"


def command(image: Unpacked, words: list[str], environment: Mapping[str, str], mounts: tuple[Mount, ...]) -> list[str]:
    """How to run these words as process 1 of a container: as its user, with its environment and nothing else's."""
    chroot = shutil.which("chroot") or "/usr/sbin/chroot"
    variables = image.environment | dict(environment)
    for mount in mounts:
        # Where a runtime makes a place to mount at. Not through links, which may lead out of the root: /var/run does.
        (image.root / mount.place.lstrip("/")).mkdir(parents=True, exist_ok=True)
    return [
        *("unshare", "--mount", "--pid", "--fork", str(ENTER), str(image.root), *map(str, mounts), "--"),
        *("env", "-i", *(f"{name}={value}" for name, value in variables.items())),
        *("setpriv", "--no-new-privs", "--inh-caps=-all"),
        *(chroot, f"--userspec={image.run_config['User']}", f"--groups={USER}", str(image.root), *words),
    ]


def run(image: Unpacked, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """What these words print, in a container."""
    return subprocess.run(
        command(image, list(words), environment, ()), capture_output=True, text=True, timeout=60, check=False
    )


class ContainerElector(ElectorProcess):
    """The entry point of the image, with arguments as a pod gives them."""

    def __init__(
        self,
        image: Unpacked,
        folder: Path,
        *arguments: str,
        environment: Mapping[str, str] | None = None,
        mounts: tuple[Mount, ...] = (),
    ) -> None:
        super().__init__(folder, folder / "elector.log", LONG)
        self.image = image
        self.health_port = free_port()
        self._given = arguments
        self._environment = environment or {}
        self._mounts = mounts
        self._master: KnownProcess | None = None

    @property
    def master(self) -> KnownProcess:
        """Process 1 of the container."""
        assert self._master is not None
        return self._master

    def start(self) -> ContainerElector:
        ports = ["--port", str(self.port), "--health-port", str(self.health_port)]
        words = [*self.image.run_config["Entrypoint"], *self._given, *ports]
        self._process = Process(
            [*_BECOME, *command(self.image, words, self._environment, self._mounts)], self.output, {}
        )
        self._master = wait_until(self._process_one, "process 1 of the container")
        self.wait_until_serving()
        return self

    def _process_one(self) -> KnownProcess | None:
        """The child of `unshare`, as soon as there is one."""
        assert self._process is not None
        assert self._process.is_running(), self._process.said()
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children").read_text().split()
        return KnownProcess(int(children[0])) if children else None

    def end(self) -> None:
        """Kill process 1 first: with it ends everything in the container."""
        if self._master is not None:
            self._master.end()
            self._master = None
        super().end()
