"""The images of the node: archives that its container runtime imports. Nothing is pulled from anywhere."""

from __future__ import annotations

import hashlib
import io
import json
import os
import platform
import shutil
import subprocess
import tarfile
from pathlib import Path
from typing import Any, Final

from tests.cluster.binaries import BUILD_SECONDS, NoBinaries

PAUSE: Final = "localhost/pause:node"

_PAUSE_SOURCE: Final = Path(__file__).parent / "pause" / "main.go"
_ARCHITECTURES: Final = {"x86_64": "amd64", "aarch64": "arm64"}


def build_pause(cache: Path) -> Path:
    """The image of the process that keeps a pod's namespaces, as an archive in the cache."""
    archive = cache / f"pause-{hashlib.sha256(_PAUSE_SOURCE.read_bytes()).hexdigest()[:12]}.tar"
    if not archive.exists():
        unfinished = cache / f".{archive.name}.{os.getpid()}"
        program = unfinished.with_suffix(".program")
        _compile(program)
        unfinished.write_bytes(_archive(PAUSE, program))
        program.unlink()
        unfinished.rename(archive)
    return archive


def _compile(program: Path) -> None:
    go = shutil.which("go")
    if go is None:
        raise NoBinaries("the pause program of the node is built with Go: install Go 1.26 and run again")
    command = [go, "build", "-ldflags", "-s -w", "-o", str(program), str(_PAUSE_SOURCE)]
    environment = os.environ | {"CGO_ENABLED": "0", "GO111MODULE": "off"}
    subprocess.run(command, env=environment, check=True, timeout=BUILD_SECONDS)


def _archive(name: str, program: Path) -> bytes:
    """One program as an image, in the form of `docker save`."""
    layer = _tar({"pause": (program.read_bytes(), 0o755)})
    config: dict[str, Any] = {
        "architecture": _ARCHITECTURES.get(platform.machine(), platform.machine()),
        "os": "linux",
        "config": {"Entrypoint": ["/pause"], "User": "65535:65535"},
        "rootfs": {"type": "layers", "diff_ids": ["sha256:" + hashlib.sha256(layer).hexdigest()]},
    }
    manifest = [{"Config": "config.json", "RepoTags": [name], "Layers": ["layer.tar"]}]
    files = {"config.json": config, "manifest.json": manifest}
    encoded = {path: (json.dumps(content).encode(), 0o644) for path, content in files.items()}
    return _tar(encoded | {"layer.tar": (layer, 0o644)})


def _tar(files: dict[str, tuple[bytes, int]]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, (content, mode) in files.items():
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(content), mode
            tar.addfile(member, io.BytesIO(content))
    return buffer.getvalue()
