from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from elector_server import problems
from elector_server.acquisitions import StillWaiting
from metaparticle_sync import wire
from tests.http.asking import app_of, ask
from tests.http.fake_elector import CLIENT, HOLDER, FakeElector, granted, view

ACQUIRE = json.dumps({"client": CLIENT, "holder": HOLDER, "wait_seconds": 2.5}).encode()
RELEASE = json.dumps({"client": CLIENT, "holder": HOLDER}).encode()
HELD_BY = problems.HeldBy(owner="host:1", process="host:7 python", since="2025-01-31T12:00:00.000Z", token="123")


def test_acquire_renders_the_grant() -> None:
    elector = FakeElector(acquire=granted())
    answer = ask(app_of(elector), "PUT", "/locks/orders", ACQUIRE)
    assert answer.status == 200
    assert answer.headers["content-type"] == wire.JSON_TYPE
    assert answer.json == {
        "name": "orders",
        "state": "held",
        "holder": HOLDER,
        "token": "123",
        "valid_seconds": 11.345,  # rounded down: it is a promise
        "incarnation": "s.1",
    }
    assert elector.calls == [("acquire", "orders", CLIENT, HOLDER, 2.5)]


def test_acquire_without_wait_is_a_single_try() -> None:
    elector = FakeElector(acquire=granted())
    ask(app_of(elector), "PUT", "/locks/orders", RELEASE)
    assert elector.calls == [("acquire", "orders", CLIENT, HOLDER, 0.0)]


def test_acquire_that_still_waits() -> None:
    answer = ask(app_of(FakeElector(acquire=StillWaiting("orders", HOLDER))), "PUT", "/locks/orders", ACQUIRE)
    assert answer.status == 202
    assert answer.json == {"name": "orders", "state": "waiting", "holder": HOLDER}


@pytest.mark.parametrize(
    ("problem", "status"),
    [
        (problems.LockHeld("orders", HELD_BY), 409),
        (problems.HolderDead("orders", HOLDER), 409),
        (problems.UnknownClient(CLIENT), 409),
        (problems.ElectorStarting("no session"), 503),
        (problems.ElectorStopping(), 503),
        (problems.ElectorBusy("few open files are left"), 503),
        (problems.StoreDown("it is locked"), 503),
        (problems.QueueFull("orders", 1000), 503),
    ],
    ids=lambda value: value.code if isinstance(value, problems.Problem) else "",
)
def test_refusals_are_problems(problem: problems.Problem, status: int) -> None:
    answer = ask(app_of(FakeElector(acquire=problem)), "PUT", "/locks/orders", ACQUIRE)
    assert (answer.status, answer.code) == (status, problem.code)
    assert answer.json.get("held_by") == problem.held_by
    assert HOLDER not in answer.detail  # it is a secret
    assert ("retry-after" in answer.headers) == (status == 503)


def test_a_refusal_names_the_holder() -> None:
    answer = ask(app_of(FakeElector(acquire=problems.LockHeld("orders", HELD_BY))), "PUT", "/locks/orders", ACQUIRE)
    assert "host:7 python at host:1 since 2025-01-31" in answer.detail
    assert answer.json["held_by"] == HELD_BY


def test_release() -> None:
    elector = FakeElector(release=True)
    answer = ask(app_of(elector), "DELETE", "/locks/orders", RELEASE)
    assert (answer.status, answer.body) == (204, b"")
    assert elector.calls == [("release", "orders", CLIENT, HOLDER)]


def test_release_that_goes_on_in_the_background() -> None:
    answer = ask(app_of(FakeElector(release=False)), "DELETE", "/locks/orders", RELEASE)
    assert (answer.status, answer.json) == (202, {"state": "releasing"})


@pytest.mark.parametrize("held_by", [None, HELD_BY], ids=["free", "held by another"])
def test_release_of_what_is_not_held(held_by: Any) -> None:
    answer = ask(app_of(FakeElector(release=problems.NotHeld("orders", held_by))), "DELETE", "/locks/orders", RELEASE)
    assert (answer.status, answer.code) == (409, "not_held")
    assert answer.json.get("held_by") == held_by


def test_read_shows_the_record_without_secrets() -> None:
    before = datetime.now(UTC)
    answer = ask(app_of(FakeElector(read_lock=view())), "GET", "/locks/orders")
    assert answer.status == 200
    record = answer.json
    expiry = datetime.fromisoformat(record["spec"].pop("expiry"))
    assert before - timedelta(seconds=1) <= expiry - timedelta(seconds=20) <= datetime.now(UTC)
    assert record == {
        "apiVersion": "metaparticle.io/v1",
        "kind": "Lock",
        "metadata": {"name": "orders", "resourceVersion": "124"},
        "spec": {
            "owner": "host:1",
            "holder": "dddddddd",
            "token": "123",
            "acquiredAt": "2025-01-31T12:00:00.000Z",
            "process": "host:7 python",
            "waiters": 2,
        },
    }


def test_read_of_a_free_lock_is_the_only_404() -> None:
    answer = ask(app_of(FakeElector(read_lock=None)), "GET", "/locks/orders")
    assert (answer.status, answer.code) == (404, "lock_free")
    assert 404 not in wire.STATUS_OF_CODE.values()


def test_list() -> None:
    answer = ask(app_of(FakeElector(list_locks=[view("a"), view("b")])), "GET", "/locks")
    assert answer.status == 200
    assert [lock["name"] for lock in answer.json["locks"]] == ["a", "b"]
    assert answer.json["locks"][0] == {
        "name": "a",
        "holder": "dddddddd",
        "owner": "host:1",
        "process": "host:7 python",
        "since": "2025-01-31T12:00:00.000Z",
        "token": "123",
        "waiters": 2,
    }


@pytest.mark.parametrize("method", ["PUT", "POST"])
@pytest.mark.parametrize(("taken", "status"), [(True, 200), (False, 409)])
def test_the_original_protocol_has_no_body(method: str, taken, status: int) -> None:
    elector = FakeElector(legacy_put=(taken, view()), legacy_post=(taken, view()))
    # Some of its clients declare a type for the body that they do not send.
    headers = [("host", "localhost"), ("content-type", "application/x-www-form-urlencoded")]
    answer = ask(app_of(elector), method, "/locks/orders", headers=headers)
    assert (answer.status, answer.json["kind"]) == (status, "Lock")
    assert elector.calls == [(f"legacy_{method.lower()}", "orders")]


def test_the_original_protocol_when_the_record_is_gone_again() -> None:
    answer = ask(app_of(FakeElector(legacy_put=(False, None))), "PUT", "/locks/orders")
    assert (answer.status, answer.json) == (409, {})


def test_an_empty_object_is_not_the_original_protocol() -> None:
    answer = ask(app_of(FakeElector()), "PUT", "/locks/orders", b"{}")
    assert (answer.status, answer.code) == (400, "bad_body")


def test_post_takes_no_body() -> None:
    answer = ask(app_of(FakeElector()), "POST", "/locks/orders", ACQUIRE)
    assert (answer.status, answer.code) == (400, "bad_body")


NAMES = [
    "a/b",
    "..",
    ".",
    "../openapi.json",
    "/",
    "//",
    "a/",
    "/a",
    "%2F",
    "%",
    "nul\0",
    "line\nbreak\r",
    "😀",
    "UPPER",
    "upper",
    " ",
    "a?b",
    "a#b",
    "a+b",
    "{name}",
    "é",
    "e\u0301",
    "x" * 512,
]


@pytest.mark.parametrize("name", NAMES, ids=ascii)
def test_any_legal_name_reaches_the_elector_unchanged(name: str) -> None:
    for quoted in (wire.lock_path(name), "/locks/" + quote(name, safe="")):
        elector = FakeElector(read_lock=None)
        assert ask(app_of(elector), "GET", quoted).status == 404
        assert elector.calls == [("read_lock", name)]


@settings(deadline=None)  # The machine may be busy.
@given(st.text(st.characters(codec="utf-8"), min_size=1, max_size=512))
def test_every_name_reaches_the_elector_unchanged(name: str) -> None:
    elector = FakeElector(read_lock=None)
    assert ask(app_of(elector), "GET", wire.lock_path(name)).status == 404
    assert elector.calls == [("read_lock", name)]


def test_slashes_need_no_quoting() -> None:
    elector = FakeElector(read_lock=None)
    ask(app_of(elector), "GET", "/locks/team/../orders")
    assert elector.calls == [("read_lock", "team/../orders")]


@pytest.mark.parametrize(
    ("target", "code"),
    [
        ("/locks/", "bad_name"),
        ("/locks/" + "x" * 513, "bad_name"),
        ("/locks/%FF", "bad_name"),
        ("/locks/%FE", "bad_name"),
        ("/locks/%ED%A0%80", "bad_name"),
        ("/locks/50%", "bad_name"),
        ("/locks/%zz", "bad_name"),
        ("/locks/a?b", "bad_path"),
        ("/locks?limit=1", "bad_path"),
    ],
)
@pytest.mark.parametrize("method", ["GET", "PUT", "POST", "DELETE"])
def test_illegal_names_change_nothing(method: str, target: str, code: str) -> None:
    elector = FakeElector()
    answer = ask(app_of(elector), method, target, RELEASE if method == "DELETE" else b"")
    assert (answer.status, answer.code) == (400, code)
    assert elector.calls == []
