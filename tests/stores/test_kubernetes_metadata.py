"""What others wrote on an object is written again, if it is known to stand on the version that is written over."""

from __future__ import annotations

from typing import Any

import pytest

from elector_server.store import kubernetes_metadata as module
from elector_server.store.kubernetes_metadata import ForeignMetadata
from elector_server.store.kubernetes_objects import SESSION_LABEL, to_object

LABELS = {"team": "a"}
ANNOTATIONS = {"note": "b"}


def read(version: int, name: str = "x", **metadata: Any) -> dict[str, Any]:
    """An object as the server shows it."""
    return {"metadata": {"name": name, "resourceVersion": str(version), **metadata}, "spec": {"name": name}}


def written(known: ForeignMetadata, version: int, name: str = "x", session: str = "new") -> dict[str, Any]:
    """The metadata of a replace."""
    metadata: dict[str, Any] = known.keep("lock", to_object("lock", name, session, {}, version))["metadata"]
    return metadata


def test_labels_and_annotations_of_others_stay_and_ours_are_new():
    known = ForeignMetadata()
    labels = LABELS | {SESSION_LABEL: "old"}
    assert known.see("lock", read(5, labels=labels, annotations=ANNOTATIONS | {SESSION_LABEL: "old"})) == 5
    metadata = written(known, 5)
    assert metadata["labels"] == LABELS | {SESSION_LABEL: "new"}
    assert metadata["annotations"] == ANNOTATIONS


def test_a_session_that_is_no_label_value_keeps_its_annotation():
    known = ForeignMetadata()
    known.see("lock", read(5, annotations=ANNOTATIONS | {SESSION_LABEL: "old"}))
    assert written(known, 5, session="any text")["annotations"] == ANNOTATIONS | {SESSION_LABEL: "any text"}


@pytest.mark.parametrize("version", [4, 6])
def test_nothing_is_taken_from_another_version(version: int):
    known = ForeignMetadata()
    known.see("lock", read(5, labels=LABELS))
    assert written(known, version)["labels"] == {SESSION_LABEL: "new"}


def test_the_newest_version_counts_in_whatever_order_it_comes():
    known = ForeignMetadata()
    known.see("lock", read(6, labels=LABELS))
    known.see("lock", read(5, labels={"team": "before"}))
    assert written(known, 6)["labels"] == LABELS | {SESSION_LABEL: "new"}


def test_what_was_removed_is_forgotten():
    known = ForeignMetadata()
    known.see("lock", read(5, labels=LABELS))
    known.see("lock", read(6))
    assert len(known) == 0
    known.see("lock", read(7, labels=LABELS))
    known.forget("lock", "x")
    assert len(known) == 0


def test_only_so_many_are_remembered(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "REMEMBERED_MAX", 2)
    known = ForeignMetadata()
    for number, name in enumerate("xyz", start=1):
        known.see("lock", read(number, name, labels=LABELS))
    assert len(known) == 2
    assert written(known, 3, "z")["labels"] == LABELS | {SESSION_LABEL: "new"}


def test_objects_without_foreign_metadata_cost_nothing():
    known = ForeignMetadata()
    known.see("lock", read(5, labels={SESSION_LABEL: "s"}))
    assert len(known) == 0
