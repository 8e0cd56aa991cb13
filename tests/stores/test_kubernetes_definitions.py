"""The definitions of deploy/ beside the rules: the API server refuses a record with a field that they do not know."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from elector_server.rules.barrier import GENERATIONS_REMEMBERED
from elector_server.rules.lock import QUEUE_TICKETS_MAX
from elector_server.rules.session import begin
from elector_server.rules.shared import CLAIMANTS_MAX, OPERATIONS_REMEMBERED
from elector_server.store import Spec
from elector_server.store.kubernetes_objects import PLURALS, to_object
from metaparticle_sync import wire
from tests.stores.kinds import EVERYTHING, UNUSED

DEPLOY = Path(__file__).parents[2] / "deploy"

WRITTEN: Mapping[str, Spec] = {kind: spec(1) for kind, spec in EVERYTHING.items()} | {
    "session": begin("me", "pod-1", 20.0, "nonce", "boot", "now").to_spec()
}

Schema = dict[str, Any]


def schema_of(kind: str) -> Schema:
    """What the definition says of the spec."""
    definition = yaml.safe_load((DEPLOY / f"crd-{PLURALS[kind]}.yaml").read_text())
    found: Schema = definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]
    return found


def unknown(value: Any, schema: Schema, path: str = "") -> list[str]:
    """What of a value the schema does not describe."""
    if isinstance(value, Mapping):
        known = schema.get("properties", {})
        return [
            found
            for key, inner in value.items()
            for found in (unknown(inner, known[key], f"{path}.{key}") if key in known else [f"{path}.{key}"])
        ]
    if isinstance(value, list):
        return [found for inner in value for found in unknown(inner, schema["items"], f"{path}[]")]
    return []


class _OnlyOnce(yaml.SafeLoader):
    """Refuses a key that stands twice in one mapping, as kustomize does and PyYAML does not."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:  # noqa: FBT001, FBT002 -- PyYAML's
        keys = [self.construct_object(key) for key, _ in node.value]
        assert len(set(keys)) == len(keys), f"{node.start_mark}: {keys}"
        return super().construct_mapping(node, deep)


def test_no_key_stands_twice() -> None:
    """Two branches that add the same field are merged without a conflict."""
    for path in sorted(DEPLOY.rglob("*.yaml")):
        assert list(yaml.load_all(path.read_text(), _OnlyOnce))


def test_every_kind_is_compared() -> None:
    assert WRITTEN.keys() == PLURALS.keys()


@pytest.mark.parametrize("kind", WRITTEN)
def test_every_field_that_a_rule_writes_is_defined(kind: str) -> None:
    assert unknown(to_object(kind, "a", "s", WRITTEN[kind])["spec"], schema_of(kind)) == []


@pytest.mark.parametrize("kind", WRITTEN)
def test_a_field_that_is_not_defined_would_be_found(kind: str) -> None:
    spec = dict(WRITTEN[kind]) | {"of_tomorrow": [{"a": 1}]}
    assert unknown(to_object(kind, "a", "s", spec)["spec"], schema_of(kind)) == [".ofTomorrow"]


@pytest.mark.parametrize("kind", WRITTEN)
def test_every_field_that_must_be_there_is_written_always(kind: str) -> None:
    written = to_object(kind, "a", "s", UNUSED.get(kind, WRITTEN[kind]))["spec"]
    assert set(schema_of(kind).get("required", ())) <= written.keys()


@pytest.mark.parametrize(
    ("kind", "field", "least"),
    [
        ("lock", "queue", QUEUE_TICKETS_MAX),
        ("semaphore", "permits", CLAIMANTS_MAX),
        ("semaphore", "queue", CLAIMANTS_MAX),
        ("condition", "tickets", CLAIMANTS_MAX),
        ("barrier", "arrived", CLAIMANTS_MAX),
        ("barrier", "broken", 2 * CLAIMANTS_MAX),
        ("barrier", "brokenGenerations", GENERATIONS_REMEMBERED),
        *((kind, "operations", OPERATIONS_REMEMBERED) for kind in UNUSED),
    ],
)
def test_lists_may_be_as_long_as_the_rules_make_them(kind: str, field: str, least: int) -> None:
    assert schema_of(kind)["properties"][field]["maxItems"] >= least


def test_numbers_may_be_as_large_as_the_protocol_takes_them() -> None:
    assert schema_of("semaphore")["properties"]["limit"]["maximum"] == wire.LIMIT_MAX
    assert schema_of("barrier")["properties"]["parties"]["maximum"] == wire.PARTIES_MAX
    assert schema_of("lock")["properties"]["metadata"]["maxLength"] == wire.METADATA_CHARACTERS_MAX
