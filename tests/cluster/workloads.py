"""The manifests of deploy/ and examples/: what is rendered of them, and what a server would make of it."""

from __future__ import annotations

import copy
import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import yaml

from tests.cluster.control_plane import ControlPlane
from tests.processes.running import ROOT

DEPLOY: Final = ROOT / "deploy"
EXAMPLES: Final = ROOT / "examples" / "kubernetes"
SIDECAR: Final = DEPLOY / "sidecar"
SIDECAR_WITH_OWN_ACCOUNT: Final = SIDECAR / "container"

RESTRICTED: Final = {
    f"pod-security.kubernetes.io/{mode}{what}": value
    for mode in ("enforce", "warn", "audit")
    for what, value in (("", "restricted"), ("-version", "latest"))
}

Object = dict[str, Any]


def files_of_examples() -> list[Path]:
    """Each is applied by itself."""
    return sorted(EXAMPLES.glob("*.yaml"))


def rendered(plane: ControlPlane, path: Path) -> list[Object]:
    """The objects of a file, or of a folder as kustomize renders it."""
    text = plane.kubectl("kustomize", str(path)) if path.is_dir() else path.read_text()
    return [one for one in yaml.safe_load_all(text) if one is not None]


def with_component(
    plane: ControlPlane, folder: Path, workloads: Iterable[Object], component: Path, *, in_one_line: bool = False
) -> list[Object]:
    """What the component makes of these workloads, written in many lines or in one."""
    (folder / "workloads.yaml").write_text(yaml.safe_dump_all(workloads, default_flow_style=in_one_line))
    kustomization = {
        "resources": ["workloads.yaml"],
        "components": [relative(folder, component)],
        "images": [{"name": "elector", "newName": "localhost/elector", "newTag": "test"}],
    }
    (folder / "kustomization.yaml").write_text(yaml.safe_dump(kustomization))
    return rendered(plane, folder)


def relative(folder: Path, to: Path) -> str:
    """kustomize takes relative paths only."""
    return os.path.relpath(to.resolve(), folder.resolve())


def template_of(workload: Object) -> Object:
    """The pod template of a Deployment, StatefulSet, DaemonSet, Job or CronJob."""
    spec = workload["spec"]
    template: Object = (spec["jobTemplate"]["spec"] if workload["kind"] == "CronJob" else spec)["template"]
    return template


def workloads_of(objects: Iterable[Object]) -> list[Object]:
    """Those that have pods."""
    return [one for one in objects if "template" in json.dumps(one.get("spec", {}))]


def pod_of(workload: Object) -> Object:
    """The pod that its controller would create. Pod security is enforced on pods only, not on what makes them."""
    template = copy.deepcopy(template_of(workload))
    metadata = template.get("metadata", {}) | {"name": workload["metadata"]["name"]}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": template["spec"]}


def elector_of(workload: Object) -> Object:
    """The sidecar's container."""
    (found,) = [one for one in template_of(workload)["spec"]["initContainers"] if one["name"] == "elector"]
    return found  # type: ignore[no-any-return]


def dry_run(plane: ControlPlane, namespace: str, objects: Sequence[Object]) -> list[Object]:
    """What the server would store. Whatever it warns of is an error, as is every field that it does not know."""
    said = plane.kubectl(
        *("apply", "--dry-run=server", "--validate=strict", "--warnings-as-errors", "-o", "json"),
        *("-n", namespace, "-f", "-"),
        stdin=yaml.safe_dump_all(objects),
    )
    answer = json.loads(said)
    return answer["items"] if answer["kind"] == "List" else [answer]


def missing(written: Any, stored: Any, path: str = "") -> Iterator[str]:
    """The paths of what was written and is not in what is stored. Servers add defaults; they must drop nothing."""
    if isinstance(written, Mapping) and isinstance(stored, Mapping):
        for key, value in written.items():
            if key in stored:
                yield from missing(value, stored[key], f"{path}.{key}")
            else:
                yield f"{path}.{key}"
    elif isinstance(written, list) and isinstance(stored, list) and len(written) == len(stored):
        for at, (one, other) in enumerate(zip(written, stored, strict=True)):
            yield from missing(one, other, f"{path}[{at}]")
    elif written != stored:
        yield f"{path}: {written!r} became {stored!r}"
