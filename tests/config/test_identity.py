from __future__ import annotations

from pathlib import Path

import pytest

from elector_server import identity
from elector_server.identity import NoBootId, boot_id, host_identity, local_identity, pod_identity
from elector_server.rules.session import new_session_id


def test_one_folder_and_port_are_one_identity_however_they_are_written(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "here")
    assert local_identity(tmp_path / "here", 5) == local_identity(tmp_path / "link", 5)


def test_another_folder_or_port_is_another_identity(tmp_path: Path) -> None:
    places = [(tmp_path / "a", 5), (tmp_path / "b", 5), (tmp_path / "a", 6)]
    assert len({local_identity(*place).key for place in places}) == 3


def test_without_a_folder_each_process_is_its_own() -> None:
    assert local_identity(None, 5).key != local_identity(None, 5).key


def test_the_owner_is_for_people(tmp_path: Path) -> None:
    assert local_identity(tmp_path, 5).owner.endswith(":5")


def test_the_boot_id_does_not_change() -> None:
    assert boot_id() == boot_id() != ""


def test_a_machine_without_a_boot_id_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(identity, "_LINUX_BOOT_ID", tmp_path / "missing")
    with pytest.raises(NoBootId, match="runs on Linux and macOS"):
        boot_id()


def test_a_pod_is_one_identity_whatever_its_container() -> None:
    assert pod_identity("web-0", "uid", 5) == pod_identity("web-0", "uid", 5)
    assert len({pod_identity("web-0", uid, port).key for uid, port in (("a", 5), ("b", 5), ("a", 6))}) == 3
    assert pod_identity("web-0", "uid", 5).owner == "web-0"


def test_outside_a_pod_host_and_port_are_the_identity() -> None:
    assert host_identity(5) == host_identity(5)
    assert host_identity(5).key != host_identity(6).key


def test_a_session_id_of_the_cluster_is_a_legal_label() -> None:
    for one in (pod_identity("web-0", "uid", 5), host_identity(5)):
        assert len(new_session_id(one.key, 0)) <= 63
