"""What deploy/ installs, as a user would install it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from elector_server.store.kubernetes_objects import PLURALS, to_object
from tests.cluster.control_plane import ControlPlane
from tests.cluster.namespaces import DEPLOY, Namespace


def test_there_is_a_definition_of_each_kind() -> None:
    found = {one["spec"]["names"]["singular"]: one["spec"]["names"] for one in definitions()}
    assert {kind: names["plural"] for kind, names in found.items()} == PLURALS
    assert {kind: names["kind"] for kind, names in found.items()} == {
        kind: to_object(kind, "a", "s", {})["kind"] for kind in PLURALS
    }


def definitions() -> Iterator[dict[str, Any]]:
    for path in sorted(DEPLOY.glob("crd-*.yaml")):
        yield yaml.safe_load(path.read_text())


def fields(schema: dict[str, Any], path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Every field below a schema, with its path."""
    for name, field in schema.get("properties", {}).items():
        yield f"{path}.{name}", field
        yield from fields(field, f"{path}.{name}")
    if "items" in schema:
        yield f"{path}[]", schema["items"]
        yield from fields(schema["items"], f"{path}[]")


def test_one_command_is_the_whole_installation(plane: ControlPlane) -> None:
    plane.kubectl("create", "namespace", "shop")
    said = plane.kubectl("apply", "-k", str(DEPLOY), "-n", "shop", "--server-side", "--force-conflicts")
    assert said.count("serverside-applied") == len(PLURALS) + 3
    plane.kubectl("apply", "-k", str(DEPLOY), "-n", "shop", "--server-side", "--dry-run=server")
    for what in ("serviceaccount/elector", "role/elector", "rolebinding/elector"):
        plane.kubectl("get", what, "-n", "shop")
    can = plane.kubectl(
        *("auth", "can-i", "create", "locks.metaparticle.io", "-n", "shop"), "--as=system:serviceaccount:shop:elector"
    )
    assert can.strip() == "yes"


def test_nothing_of_it_is_cluster_wide_but_the_definitions(plane: ControlPlane) -> None:
    text = plane.kubectl("kustomize", str(DEPLOY))
    kinds = sorted(one["kind"] for one in yaml.safe_load_all(text))
    assert kinds == ["CustomResourceDefinition"] * len(PLURALS) + ["Role", "RoleBinding", "ServiceAccount"]
    for path in DEPLOY.rglob("*"):
        assert path.is_dir() or "ClusterRole" not in path.read_text()


def test_every_field_has_a_description_and_a_bound() -> None:
    for definition in definitions():
        (version,) = definition["spec"]["versions"]
        spec = version["schema"]["openAPIV3Schema"]["properties"]["spec"]
        for path, field in fields(spec):
            assert field["description"], path
            bounds = {"string": "maxLength", "array": "maxItems", "integer": "minimum", "number": "maximum"}
            if field["type"] in bounds and "enum" not in field:
                assert bounds[field["type"]] in field, path
        for column in version["additionalPrinterColumns"]:
            assert column["description"]


@pytest.mark.parametrize("plural", PLURALS.values())
def test_kubectl_explains_every_field(plane: ControlPlane, plural: str) -> None:
    definition = next(one for one in definitions() if one["spec"]["names"]["plural"] == plural)
    spec = definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]
    text = " ".join(plane.kubectl("explain", f"{plural}.spec", "--api-version=metaparticle.io/v1").split())
    for name, field in spec["properties"].items():
        assert name in text
        assert " ".join(field["description"].split())[:40] in text


def test_short_names_and_categories(namespace: Namespace) -> None:
    for word in ("lk", "sem", "mpev", "cond", "bar", "lks", "metaparticle"):
        namespace.plane.kubectl("get", word, "-n", namespace.name)


def test_a_record_of_the_original_project_is_legal(namespace: Namespace) -> None:
    record = {
        "apiVersion": "metaparticle.io/v1",
        "kind": "Lock",
        "metadata": {"name": "master"},
        "spec": {"owner": "web-0", "expiry": "2017-07-14 02:40:00.000000"},
    }
    namespace.plane.kubectl("create", "-n", namespace.name, "-f", "-", stdin=yaml.safe_dump(record))
    assert "web-0" in namespace.plane.kubectl("get", "lock", "master", "-n", namespace.name)
