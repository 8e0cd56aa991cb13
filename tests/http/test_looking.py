"""Looks that wait for news, at a running elector."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from metaparticle_sync import wire
from tests.http.serving import Reply, Served, read_reply, serving
from tests.processes.running import wait_until

CLIENT = "c" * 32
FREE = 'W/"free"'


@pytest.fixture(params=["memory", "sqlite"])
def elector(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Served]:
    with serving(tmp_path / "log", "--store", request.param) as elector:
        wait_until(
            lambda: elector.ask("PUT", wire.session_path(CLIENT), {"process": "p"}).json["incarnation"], "a session"
        )
        yield elector


def take(elector: Served, name: str, **more: object) -> str:
    holder = wire.new_id()
    reply = elector.ask("PUT", wire.lock_path(name), {"client": CLIENT, "holder": holder, **more})
    assert reply.status == 200, reply
    return holder


def release(elector: Served, name: str, holder: str) -> None:
    assert elector.ask("DELETE", wire.lock_path(name), {"client": CLIENT, "holder": holder}).status == 204


def look_bytes(name: str, known: str, seconds: int) -> bytes:
    head = f"GET {wire.lock_path(name)} HTTP/1.1\r\nHost: localhost\r\nIf-None-Match: {known}\r\nPrefer: wait={seconds}"
    return head.encode() + b"\r\n\r\n"


def look(elector: Served, name: str, **headers: str) -> Reply:
    return elector.ask("GET", wire.lock_path(name), **headers)


def test_a_look_waits_until_the_lock_is_taken_and_until_it_is_free(elector: Served):
    waiting = elector.connect(look_bytes("x", FREE, 25))
    holder = take(elector, "x", metadata={"url": "http://x/"})
    taken = read_reply(waiting)
    assert (taken.status, taken.json["spec"]["metadata"]) == (200, {"url": "http://x/"})
    assert taken.headers["etag"] == look(elector, "x").headers["etag"]

    waiting.sendall(look_bytes("x", taken.headers["etag"], 25))
    release(elector, "x", holder)
    free = read_reply(waiting)
    assert (free.status, free.json["code"], free.headers["etag"]) == (404, "lock_free", FREE)
    waiting.close()


def test_without_news_the_look_ends_with_its_time(elector: Served):
    for known in (FREE, None):
        if known is None:
            take(elector, "x")
            known = look(elector, "x").headers["etag"]  # noqa: PLW2901 -- of the lock that is held from here on
        reply = look(elector, "x", **{"If-None-Match": known, "Prefer": "wait=1"})
        assert (reply.status, reply.body, reply.headers["etag"]) == (304, b"", known)
        assert "content-type" not in reply.headers


def test_a_look_that_knows_something_old_does_not_wait(elector: Served):
    holder = take(elector, "x")
    old = look(elector, "x").headers["etag"]
    release(elector, "x", holder)
    take(elector, "x")
    reply = look(elector, "x", **{"If-None-Match": old, "Prefer": "wait=25"})
    assert reply.status == 200
    assert reply.headers["etag"] != old


def test_the_queue_is_no_news(elector: Served):
    holder = take(elector, "x")
    known = look(elector, "x").headers["etag"]
    waiting = elector.connect(look_bytes("x", known, 25))
    body = {"client": CLIENT, "holder": wire.new_id(), "wait_seconds": 0.05}
    assert elector.ask("PUT", wire.lock_path("x"), body).status == 202
    release(elector, "x", holder)
    reply = read_reply(waiting)
    assert reply.headers["etag"] != known
    waiting.close()


def test_the_tag_lives_through_a_restart_of_the_elector(tmp_path: Path):
    arguments = ("--store", "sqlite", "--state-dir", str(tmp_path / "state"))
    with serving(tmp_path / "first log", *arguments) as elector:
        wait_until(
            lambda: elector.ask("PUT", wire.session_path(CLIENT), {"process": "p"}).json["incarnation"], "a session"
        )
        take(elector, "x", metadata={"a": 1})
        before = look(elector, "x").headers["etag"]
    with serving(tmp_path / "second log", *arguments) as elector:
        assert look(elector, "x").headers["etag"] == before


def test_looks_end_when_the_elector_stops(elector: Served):
    waiting = [elector.connect(look_bytes("x", FREE, 25)) for _ in range(5)]
    holder = take(elector, "y")
    release(elector, "y", holder)  # By now the looks wait: requests are taken up in their order.
    elector.process.known.signal(signal.SIGTERM)
    for connection in waiting:
        reply = read_reply(connection)
        assert (reply.status, reply.json["code"]) == (503, "elector_stopping")
        connection.close()
    assert elector.process.exit_code() == 0
