"""The programs of Kubernetes: found where developers keep them, or built once into the user's cache.

Looked for in KUBEBUILDER_ASSETS, in PATH, in the cache; else built, which needs Go: four minutes for a control plane,
two more for what a node needs besides.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final, NamedTuple, NoReturn, TypeAlias

VERSION: Final = "1.36.3"
MODULE: Final = Path(__file__).parent / "kubernetes"
BUILD_SECONDS: Final = 1800

_VERSION_FLAGS: Final = " ".join(
    f"-X k8s.io/component-base/version.git{name}={value}"
    for name, value in (("Version", f"v{VERSION}"), ("Major", "1"), ("Minor", "36"))
)
_Packages: TypeAlias = Mapping[str, tuple[str, bool]]
"""By the name of a program: its Go package, and whether it has the version of Kubernetes."""

_CONTROL_PLANE: Final = {
    "kube-apiserver": ("k8s.io/kubernetes/cmd/kube-apiserver", True),
    "etcd": ("go.etcd.io/etcd/server/v3", False),
    "kubectl": ("k8s.io/kubernetes/cmd/kubectl", True),
}
_NODE: Final = {
    name: (f"k8s.io/kubernetes/cmd/{name}", True) for name in ("kubelet", "kube-controller-manager", "kube-scheduler")
}

HOW_TO_GET_THEM: Final = (
    "the tests of a real Kubernetes API server need kube-apiserver, etcd and kubectl: install Go 1.26 and run again"
    " (they are built once, in some four minutes), or name a folder with the three in KUBEBUILDER_ASSETS"
)


class NoBinaries(Exception):
    """They are nowhere, and can not be built."""


class Binaries(NamedTuple):
    """The programs of a control plane."""

    apiserver: Path
    etcd: Path
    kubectl: Path


class NodeBinaries(NamedTuple):
    """The programs of a whole cluster of one node, but for the container runtime."""

    control_plane: Binaries
    kubelet: Path
    controller_manager: Path
    scheduler: Path


def find(environ: Mapping[str, str] = os.environ) -> Binaries:
    """Find the programs of a control plane, or build them.

    Raises:
        NoBinaries: with what to do about it.
    """
    return Binaries(*_found_or_built(_CONTROL_PLANE, environ))


def find_node(environ: Mapping[str, str] = os.environ) -> NodeBinaries:
    """Find the programs of a whole cluster, all in one place so that they fit together, or build them.

    Raises:
        NoBinaries: with what to do about it.
    """
    found = _found_or_built(_CONTROL_PLANE | _NODE, environ)
    return NodeBinaries(Binaries(*found[:3]), *found[3:])


def cache_folder(environ: Mapping[str, str]) -> Path:
    """Where they are kept, under their version."""
    base = environ.get("XDG_CACHE_HOME") or Path(environ.get("HOME", "/")) / ".cache"
    return Path(base) / "metaparticle-sync" / f"kubernetes-{VERSION}"


def _found_or_built(packages: _Packages, environ: Mapping[str, str]) -> list[Path]:
    cache = cache_folder(environ)
    for folders in ([environ.get("KUBEBUILDER_ASSETS", "")], environ.get("PATH", "").split(os.pathsep), [str(cache)]):
        found = _all_in([folder for folder in folders if folder], packages)
        if found is not None:
            return found
    go = shutil.which("go", path=environ.get("PATH"))
    if go is None:
        raise NoBinaries(HOW_TO_GET_THEM)
    _build(go, cache, packages)
    return _all_in([str(cache)], packages) or _missing()


def _all_in(folders: list[str], packages: _Packages) -> list[Path] | None:
    path = os.pathsep.join(folders)
    found = [shutil.which(name, path=path) for name in packages] if path else [None]
    return None if None in found else [Path(name).absolute() for name in found if name]


def _build(go: str, cache: Path, packages: _Packages) -> None:
    cache.mkdir(parents=True, exist_ok=True)
    missing = {name: package for name, package in packages.items() if not (cache / name).exists()}
    print(f"building {', '.join(missing)} into {cache}, once: this takes some minutes ...", file=sys.stderr)
    for name, (package, has_version) in missing.items():
        # Under another name until it is whole, so that a build that is broken off leaves nothing behind.
        unfinished = cache / f".{name}.{os.getpid()}"
        flags = ["-ldflags", _VERSION_FLAGS] if has_version else []
        command = [go, "build", *flags, "-o", str(unfinished), package]
        done = subprocess.run(command, cwd=MODULE, capture_output=True, text=True, timeout=BUILD_SECONDS, check=False)
        if done.returncode:
            raise NoBinaries(f"{HOW_TO_GET_THEM}; building {name} failed: {done.stderr[-1000:]}")
        unfinished.rename(cache / name)


def _missing() -> NoReturn:
    raise NoBinaries(HOW_TO_GET_THEM)
