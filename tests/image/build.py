"""Builds the image of ../../Dockerfile with buildah, on a base made from Debian's packages: no registry is needed.

    ~/.cache/metaparticle-sync/image/base-HASH.tar      the base, by the command that makes it
                                     elector-HASH.tar   the image, by the content of what it is built from

For tests of whatever needs the image:

    programs.ensure()
    archive_at(path)        # a docker archive with the image NAME
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from metaparticle_sync import wire
from tests.image import pip_settings
from tests.processes.running import ROOT

NAME: Final = "localhost/elector:test"
REVISION: Final = "of-the-tests"

_MAKE_BASE: Final = ("mmdebstrap", "--variant=minbase", "--include=python3,python3-venv,ca-certificates", "bookworm")
_KEPT: Final = 4  # so that a few working copies do not drive each other's image out
_SOURCES: Final = ("Dockerfile", ".dockerignore", "LICENSE", "README.md", "pyproject.toml")
_SOURCE_FOLDERS: Final = ("deploy/image", "elector_server", "metaparticle_sync")


def archive_at(path: Path) -> Path:
    """Put the image there. It is built only if its sources have changed since the last time."""
    path.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(archive(), path)
    return path


def archive() -> Path:
    """The image, in the cache."""
    with _only_one(_cache()):
        found = _cache() / f"elector-{_content()}.tar"
        if not found.exists():
            _remove_leftovers()
            _build(found)
        found.touch()
        _forget("elector-*.tar")
        return found


def _cache() -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    folder = Path(base) / "metaparticle-sync" / "image"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@contextlib.contextmanager
def _only_one(folder: Path) -> Iterator[None]:
    """Two builds at once would use one storage."""
    with (folder / "busy").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _content() -> str:
    """A hash of everything that the image is made of."""
    digest = hashlib.sha256(" ".join((*_MAKE_BASE, NAME, REVISION)).encode())
    for file in _source_files():
        digest.update(f"{file.relative_to(ROOT)}\0{file.stat().st_size}\0".encode())
        digest.update(file.read_bytes())
    return digest.hexdigest()[:16]


def _source_files() -> list[Path]:
    inside = [file for folder in _SOURCE_FOLDERS for file in (ROOT / folder).rglob("*")]
    kept = [file for file in inside if file.is_file() and "__pycache__" not in file.parts]
    return sorted([ROOT / name for name in _SOURCES] + kept)


def _remove_leftovers() -> None:
    """Of builds that were killed; no other one runs now."""
    for folder in _cache().glob("build-*"):
        shutil.rmtree(folder)


def _forget(pattern: str) -> None:
    newest_first = sorted(_cache().glob(pattern), key=lambda file: file.stat().st_mtime, reverse=True)
    for file in newest_first[_KEPT:]:
        file.unlink()


def _base() -> Path:
    """The base as a tar, made once."""
    found = _cache() / f"base-{hashlib.sha256(' '.join(_MAKE_BASE).encode()).hexdigest()[:16]}.tar"
    if not found.exists():
        unfinished = found.with_suffix(".unfinished.tar")
        _run(*_MAKE_BASE, str(unfinished))
        unfinished.rename(found)
        _forget("base-*.tar")
    return found


def _build(archive: Path) -> None:
    """Build into an empty storage, and leave nothing but the archive."""
    base = _base()
    with tempfile.TemporaryDirectory(dir=_cache(), prefix="build-") as folder:
        buildah = _Buildah(Path(folder))
        buildah.import_base(base)
        buildah.build(pip_settings.write(Path(folder)))
        unfinished = Path(folder) / "image.tar"
        buildah("push", NAME, f"docker-archive:{unfinished}:{NAME}")
        unfinished.rename(archive)


class _Buildah:
    """buildah with a storage of its own, without a daemon and without namespaces."""

    _BASE: Final = "localhost/elector-base:test"

    def __init__(self, folder: Path) -> None:
        storage = ("--root", str(folder / "root"), "--runroot", str(folder / "run"), "--storage-driver=vfs")
        self._command = ("buildah", *storage)

    def __call__(self, *words: str) -> str:
        return _run(*self._command, *words)

    def import_base(self, base: Path) -> None:
        container = self("from", "scratch").strip()
        self("add", container, str(base), "/")
        self("commit", "--quiet", "--rm", container, self._BASE)

    def build(self, secrets: dict[str, Path]) -> None:
        arguments = {"BASE": self._BASE, "VERSION": wire.VERSION, "REVISION": REVISION}
        self(
            *("build", "--isolation=chroot", "--format=docker", "--tag", NAME),
            *(f"--secret=id={name},src={file}" for name, file in secrets.items()),
            *(f"--build-arg={name}={value}" for name, value in arguments.items()),
            str(ROOT),
        )


def _run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(command)}: {done.stdout[-3000:]}{done.stderr[-3000:]}"
    return done.stdout
