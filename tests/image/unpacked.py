"""An image taken apart: its configuration, and its root file system in a folder."""

from __future__ import annotations

import json
import os
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

SHELLS = ("bash", "dash", "rbash", "sh")


class Unpacked:
    """The image of a docker archive, in `folder`."""

    def __init__(self, archive: Path, folder: Path) -> None:
        self.archive = archive
        self.root = folder / "root"
        self.root.mkdir(mode=0o755)
        with tarfile.open(archive) as outer:
            manifest = _json(outer, "manifest.json")[0]
            self.config: dict[str, Any] = _json(outer, manifest["Config"])
            self.layers = len(manifest["Layers"])
            for layer in manifest["Layers"]:
                _unpack(outer, layer, self.root)

    @property
    def run_config(self) -> dict[str, Any]:
        """How a container of it is run."""
        found: dict[str, Any] = self.config["config"]
        return found

    @property
    def environment(self) -> dict[str, str]:
        return dict(one.split("=", 1) for one in self.run_config["Env"])

    def paths(self) -> Iterator[Path]:
        """Every file and folder, as a path of the root."""
        for folder, folders, files in os.walk(self.root):
            yield from (Path(folder, name) for name in (*folders, *files))

    def remove_shells(self) -> None:
        """From now on nothing can start a shell in it."""
        for name in SHELLS:
            (self.root / "usr" / "bin" / name).unlink(missing_ok=True)


def _json(outer: tarfile.TarFile, name: str) -> Any:
    file = outer.extractfile(name)
    assert file is not None, name
    return json.load(file)


def _unpack(outer: tarfile.TarFile, name: str, root: Path) -> None:
    layer = outer.extractfile(name)
    assert layer is not None, name
    command = ["tar", "--extract", "--numeric-owner", "--same-permissions", f"--directory={root}"]
    with subprocess.Popen(command, stdin=subprocess.PIPE) as tar:
        assert tar.stdin is not None
        while chunk := layer.read(1 << 20):
            tar.stdin.write(chunk)
    assert tar.returncode == 0, name
