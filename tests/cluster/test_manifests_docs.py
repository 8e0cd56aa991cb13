"""The YAML of docs/kubernetes.md, given to kustomize and to the server as it stands."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.cluster.control_plane import ControlPlane
from tests.cluster.namespaces import Namespace
from tests.cluster.test_manifests_sidecar import workload
from tests.cluster.workloads import (
    DEPLOY,
    SIDECAR,
    SIDECAR_WITH_OWN_ACCOUNT,
    elector_of,
    rendered,
    template_of,
    with_component,
)
from tests.docs.pages import blocks, table
from tests.processes.running import ROOT

PAGE = ROOT / "docs" / "kubernetes.md"
COMPONENT_IN_DOCS = "../metaparticle_sync/deploy/sidecar"

Parsed = dict[str, Any]


def shown(kind: str) -> list[Parsed]:
    """The blocks of that kind, in their order."""
    return [parsed for block in blocks(PAGE, "yaml") if (parsed := yaml.safe_load(block.text))["kind"] == kind]


def test_every_block_is_looked_at() -> None:
    kinds = sorted(yaml.safe_load(block.text)["kind"] for block in blocks(PAGE, "yaml"))
    assert kinds == ["Kustomization", "Kustomization", "RoleBinding", "RoleBinding", "RoleBinding", "StatefulSet"]


def render_as_shown(plane: ControlPlane, folder: Path, kustomization: Parsed) -> Parsed:
    """What it makes of a Deployment."""
    assert kustomization["components"] == [COMPONENT_IN_DOCS]
    kustomization["components"] = [os.path.relpath(SIDECAR, folder.resolve())]
    (folder / "deployment.yaml").write_text(yaml.safe_dump(workload("Deployment")))
    (folder / "kustomization.yaml").write_text(yaml.safe_dump(kustomization))
    (after,) = rendered(plane, folder)
    return after


def test_the_component_with_an_image_of_ones_own(plane: ControlPlane, tmp_path: Path) -> None:
    elector = elector_of(render_as_shown(plane, tmp_path, shown("Kustomization")[0]))
    assert elector["image"] == "registry.example.com/elector:0.1.0"
    assert {"startupProbe", "readinessProbe", "livenessProbe"} <= elector.keys()


def test_without_the_readiness_probe(plane: ControlPlane, tmp_path: Path) -> None:
    elector = elector_of(render_as_shown(plane, tmp_path, shown("Kustomization")[1]))
    assert elector["name"] == "elector"
    assert "readinessProbe" not in elector
    assert {"startupProbe", "livenessProbe"} <= elector.keys()


def test_a_workload_that_wants_no_sidecar(plane: ControlPlane, tmp_path: Path) -> None:
    (left_out,) = shown("StatefulSet")
    left_out["spec"] = workload("StatefulSet")["spec"]
    (after,) = with_component(plane, tmp_path, [left_out], SIDECAR)
    assert after == left_out


@pytest.mark.parametrize(
    ("at", "subject", "user"),
    [
        (0, {"name": "shop"}, "system:serviceaccount:{namespace}:shop"),
        (1, {"name": "elector", "namespace": "test"}, "system:serviceaccount:test:elector"),
        (2, {"name": "jane@example.com"}, "jane@example.com"),
    ],
)
def test_a_binding_gives_the_rights(namespace: Namespace, at: int, subject: Parsed, user: str) -> None:
    binding = shown("RoleBinding")[at]
    assert binding["subjects"][0].items() >= subject.items()
    binding["metadata"].pop("namespace", None)
    apply = ("apply", "--warnings-as-errors", "-n", namespace.name, "-f", "-")
    namespace.plane.kubectl(*apply, stdin=yaml.safe_dump(binding))
    user = user.format(namespace=namespace.name)
    can = namespace.plane.kubectl(
        *("auth", "can-i", "create", "locks.metaparticle.io", "-n", namespace.name, f"--as={user}")
    )
    assert can.strip() == "yes"


def test_the_account_of_the_binding_is_the_pods(plane: ControlPlane, tmp_path: Path) -> None:
    (after,) = with_component(plane, tmp_path, [workload("Deployment")], SIDECAR_WITH_OWN_ACCOUNT)
    assert template_of(after)["spec"]["serviceAccountName"] == shown("RoleBinding")[0]["subjects"][0]["name"]


def test_the_rights_are_those_of_the_role() -> None:
    (role,) = [one for one in yaml.safe_load_all((DEPLOY / "rbac.yaml").read_text()) if one["kind"] == "Role"]
    granted = {(verb, of) for rule in role["rules"] for verb in rule["verbs"] for of in rule["resources"]}
    told = set()
    for cell, _ in table(PAGE, "verb on", "what for"):
        verb, _, resources = cell.partition("` ")
        told |= {(verb.strip("`"), of) for of in resources.split(", ")}
    assert told == granted
