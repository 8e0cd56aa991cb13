"""The component on workloads of all kinds, which have containers, volumes and accounts of their own."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from tests.cluster.control_plane import ControlPlane
from tests.cluster.namespaces import Namespace
from tests.cluster.workloads import (
    SIDECAR,
    SIDECAR_WITH_OWN_ACCOUNT,
    Object,
    dry_run,
    elector_of,
    pod_of,
    template_of,
    with_component,
)

KINDS: Final = ("Deployment", "StatefulSet", "DaemonSet", "Job", "CronJob")
COMPONENTS: Final = (SIDECAR, SIDECAR_WITH_OWN_ACCOUNT)
TOKEN_FOLDER: Final = "/var/run/secrets/kubernetes.io/serviceaccount"


def pod_spec(kind: str) -> Object:
    """A pod that has one of everything."""
    spec = yaml.safe_load("""
        serviceAccountName: shop
        terminationGracePeriodSeconds: 120
        securityContext: {runAsUser: 1000}
        initContainers: [{name: migrate, image: shop}]
        containers:
          - name: shop
            image: shop
            ports: [{name: health, containerPort: 8080}]
            volumeMounts: [{name: data, mountPath: /data}]
        volumes: [{name: data, emptyDir: {}}]
    """)
    assert isinstance(spec, dict)
    return spec | ({"restartPolicy": "Never"} if kind in {"Job", "CronJob"} else {})


def workload(kind: str, **metadata: Any) -> Object:
    """A workload of that kind which knows nothing of electors."""
    labels = {"app": "shop"}
    template = {"template": {"metadata": {"labels": labels}, "spec": pod_spec(kind)}}
    selected = {"selector": {"matchLabels": labels}} | template
    spec = {
        "Deployment": selected,
        "StatefulSet": selected | {"serviceName": "shop"},
        "DaemonSet": selected,
        "Job": template,
        "CronJob": {"schedule": "0 3 * * *", "jobTemplate": {"spec": template}},
    }[kind]
    group = "batch/v1" if kind in {"Job", "CronJob"} else "apps/v1"
    return {"apiVersion": group, "kind": kind, "metadata": {"name": "shop"} | metadata, "spec": spec}


@pytest.mark.parametrize("component", COMPONENTS, ids=lambda path: path.name)
@pytest.mark.parametrize("kind", KINDS)
class TestAnyKind:
    def test_the_elector_comes_first_and_the_rest_stays(
        self, plane: ControlPlane, tmp_path: Path, kind: str, component: Path
    ) -> None:
        (after,) = with_component(plane, tmp_path, [workload(kind)], component)
        ours, before = template_of(after)["spec"], pod_spec(kind)
        assert [one["name"] for one in ours["initContainers"]] == ["elector", "migrate"]
        assert ours["initContainers"][1:] == before["initContainers"]
        assert [one["name"] for one in ours["volumes"]] == ["elector-access", "data"]
        for field in ("containers", "terminationGracePeriodSeconds", "securityContext"):
            assert ours[field] == before[field]
        assert elector_of(after)["restartPolicy"] == "Always"
        assert elector_of(after)["image"] == "localhost/elector:test"

    def test_it_may_be_written_in_one_line(
        self, plane: ControlPlane, tmp_path: Path, kind: str, component: Path
    ) -> None:
        """Comments of a patch would go along, into the middle of that line."""
        in_many_lines = with_component(plane, tmp_path, [workload(kind)], component)
        assert with_component(plane, tmp_path, [workload(kind)], component, in_one_line=True) == in_many_lines

    def test_the_server_takes_it(self, namespace: Namespace, tmp_path: Path, kind: str, component: Path) -> None:
        (after,) = with_component(namespace.plane, tmp_path, [workload(kind)], component)
        (stored,) = dry_run(namespace.plane, namespace.name, [after])
        assert elector_of(stored)["restartPolicy"] == "Always"

    def test_a_workload_can_be_left_out(self, plane: ControlPlane, tmp_path: Path, kind: str, component: Path) -> None:
        left_out = workload(kind, annotations={"metaparticle.io/sidecar": "none"})
        assert with_component(plane, tmp_path, [left_out], component) == [left_out]


@pytest.mark.parametrize("kind", KINDS)
def test_the_account_is_named_unless_the_pod_keeps_its_own(plane: ControlPlane, tmp_path: Path, kind: str) -> None:
    (named,) = with_component(plane, tmp_path, [workload(kind)], SIDECAR)
    assert template_of(named)["spec"]["serviceAccountName"] == "elector"
    assert template_of(named)["spec"]["automountServiceAccountToken"] is False
    (kept,) = with_component(plane, tmp_path, [workload(kind)], SIDECAR_WITH_OWN_ACCOUNT)
    assert template_of(kept)["spec"]["serviceAccountName"] == "shop"
    assert "automountServiceAccountToken" not in template_of(kept)["spec"]


def test_both_patches_say_the_same(plane: ControlPlane, tmp_path: Path) -> None:
    both = with_component(plane, tmp_path, [workload("Job"), workload("CronJob")], SIDECAR)
    of_job, of_cron_job = (template_of(one) for one in sorted(both, key=lambda one: len(one["kind"])))
    assert of_job == of_cron_job


def test_an_application_with_rights_of_its_own_keeps_its_token(namespace: Namespace, tmp_path: Path) -> None:
    """The server mounts the token of the pod's account where there is none yet, and leaves the elector's alone."""
    account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "shop", "namespace": namespace.name}}
    namespace.plane.request("POST", f"/api/v1/namespaces/{namespace.name}/serviceaccounts", account)
    (after,) = with_component(namespace.plane, tmp_path, [workload("Deployment")], SIDECAR_WITH_OWN_ACCOUNT)
    (stored,) = dry_run(namespace.plane, namespace.name, [pod_of(after)])
    mounts = {
        one["name"]: [mount["name"] for mount in one["volumeMounts"] if mount["mountPath"] == TOKEN_FOLDER]
        for one in itertools.chain(stored["spec"]["initContainers"], stored["spec"]["containers"])
    }
    assert mounts.pop("elector") == ["elector-access"]
    assert all(len(names) == 1 and names[0].startswith("kube-api-access-") for names in mounts.values())
