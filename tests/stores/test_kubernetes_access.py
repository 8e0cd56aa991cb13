"""Kubeconfigs that can not be used: what is said of them names the file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from elector_server.store.kubernetes_access import NoAccess, load_access


def config(**changes: Any) -> str:
    """A kubeconfig that can be used, but for the changes."""
    usable = {
        "clusters": [{"name": "a", "cluster": {"server": "http://127.0.0.1:1"}}],
        "users": [{"name": "a", "user": {"token": "a"}}],
        "contexts": [{"name": "a", "context": {"cluster": "a", "user": "a"}}],
        "current-context": "a",
    }
    return json.dumps(usable | changes)


ODD = {
    "no YAML": "clusters:\n  - name: a\n users: [",
    "binary": "\x00\x01",
    "empty": "",
    "a list": "[]",
    "a word": "kubeconfig",
    "no contexts": config(contexts=[]),
    "a context that is a number": config(contexts=[{"name": "a", "context": 7}]),
    "a cluster that is a number": config(clusters=[{"name": "a", "cluster": 7}]),
    "an impossible port": config(clusters=[{"name": "a", "cluster": {"server": "https://127.0.0.1:99999"}}]),
    "a token file that is not there": config(users=[{"name": "a", "user": {"tokenFile": "/nonexistent"}}]),
}


@pytest.mark.parametrize("text", ODD.values(), ids=ODD.keys())
def test_a_kubeconfig_that_can_not_be_used_is_named_in_one_line(tmp_path: Path, text: str) -> None:
    path = tmp_path / "config"
    path.write_text(text)
    with pytest.raises(NoAccess) as caught:
        load_access({"KUBECONFIG": str(path)})
    assert str(caught.value).startswith(f"the kubeconfig {path} can not be used: ")
    assert "\n" not in str(caught.value)


def test_a_kubeconfig_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(NoAccess, match=f"the kubeconfig {tmp_path}/config can not be used"):
        load_access({"KUBECONFIG": f"{tmp_path}/config"})
    with pytest.raises(NoAccess, match=rf"there is no {tmp_path}/\.kube/config"):
        load_access({"HOME": str(tmp_path)})


def test_the_same_kubeconfig_without_a_mistake_can_be_used(tmp_path: Path) -> None:
    """Else the cases above would prove nothing."""
    path = tmp_path / "config"
    path.write_text(config())
    assert load_access({"KUBECONFIG": str(path)}).authorization == "Bearer a"


def test_a_token_file_that_is_being_written_makes_nobody_of_us(tmp_path: Path) -> None:
    """For good, even: who is nobody is answered 403, and only 401 lets the access be read again."""
    path, token = tmp_path / "config", tmp_path / "token"
    path.write_text(config(users=[{"name": "a", "user": {"tokenFile": str(token)}}]))
    token.write_text("")
    with pytest.raises(NoAccess, match=f"names {token} for the user's token .* it is empty"):
        load_access({"KUBECONFIG": str(path)})
    token.write_text("b")
    assert load_access({"KUBECONFIG": str(path)}).authorization == "Bearer b"
