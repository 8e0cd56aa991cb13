from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from elector_server.client_sessions import PresentedHold
from elector_server.clients import Loss
from elector_server.problems import ElectorStopping, UnknownClient
from elector_server.trouble import Cause
from metaparticle_sync import wire
from tests.http.asking import app_of, ask, asked
from tests.http.fake_elector import CLIENT, HOLDER, FakeElector, FakeStream, status

SESSION = wire.session_path(CLIENT)
ATTACHED = {"event": "attached", "peer": "127.0.0.1:50000", "tick_seconds": 5.5}


def test_open() -> None:
    elector = FakeElector(open_client=status(lost=(Loss("lock", "a", HOLDER, "it was late"),)))
    holds = [{"kind": "lock", "name": "ordres/é", "holder": HOLDER, "token": "9007199254740993"}]
    body = {"process": "host:7 python", "holds": holds, "stream": "127.0.0.1:50001"}
    answer = ask(app_of(elector), "PUT", SESSION, json.dumps(body).encode())
    assert answer.status == 200
    assert answer.json == {
        "client": CLIENT,
        "incarnation": "s.1",
        "valid_seconds": 16.666,
        "ttl_seconds": 30.0,
        "tick_seconds": 5.5,
        "holds": [HOLDER],
        "lost": [{"kind": "lock", "name": "a", "holder": HOLDER, "reason": "it was late"}],
    }
    presented = [PresentedHold("ordres/é", HOLDER, 9007199254740993)]
    assert elector.calls == [("open_client", CLIENT, "host:7 python", presented, "127.0.0.1:50001")]


def test_open_without_a_session_in_the_store() -> None:
    cause = Cause("crd_missing", "the cluster has no custom resource definition")
    elector = FakeElector(open_client=status(incarnation="", not_ready=cause))
    answer = ask(app_of(elector), "PUT", SESSION, b'{"process": "curl"}')
    assert answer.json["not_ready"] == {"code": cause.code, "reason": cause.reason}


def test_open_with_what_is_needed() -> None:
    elector = FakeElector(open_client=status())
    assert ask(app_of(elector), "PUT", SESSION, b'{"process": "curl"}').status == 200
    assert elector.calls == [("open_client", CLIENT, "curl", [], None)]


@pytest.mark.parametrize(
    ("body", "arguments"),
    [
        ({}, ([], None)),
        ({"acknowledged": [HOLDER], "stream": "[::1]:50001"}, ([HOLDER], "[::1]:50001")),
        ({"acknowledged": [], "stream": None}, ([], None)),
    ],
)
def test_heartbeat(body: Any, arguments: Any) -> None:
    elector = FakeElector(heartbeat=status())
    assert ask(app_of(elector), "POST", SESSION, json.dumps(body).encode()).status == 200
    assert elector.calls == [("heartbeat", CLIENT, *arguments)]


def test_heartbeat_of_an_unknown_client() -> None:
    answer = ask(app_of(FakeElector(heartbeat=UnknownClient(CLIENT))), "POST", SESSION, b"{}")
    assert (answer.status, answer.code) == (409, "unknown_client")
    assert "PUT /sessions/<client>" in answer.detail


def test_close() -> None:
    elector = FakeElector(close_client=None)
    answer = ask(app_of(elector), "DELETE", SESSION)
    assert (answer.status, answer.body) == (204, b"")
    assert elector.calls == [("close_client", CLIENT)]


@pytest.mark.parametrize("client", ["", "x", "C" * 32, "c" * 31, "c" * 33, "%00" * 32])
@pytest.mark.parametrize(
    ("method", "suffix"), [("PUT", ""), ("POST", ""), ("DELETE", ""), ("GET", "/stream")], ids=lambda part: part
)
def test_a_client_is_named_by_an_id(client: str, method: str, suffix: str) -> None:
    elector = FakeElector()
    answer = ask(app_of(elector), method, f"/sessions/{client}{suffix}", b'{"process": "p"}')
    assert (answer.status, answer.code) == (400, "bad_path")
    assert elector.calls == []


def test_stream_sends_lines() -> None:
    stream = FakeStream(ATTACHED, {"event": "tick"}, {"event": "stopping"})
    elector = FakeElector(open_stream=stream)
    answer = ask(app_of(elector), "GET", SESSION + "/stream")
    assert answer.status == 200
    assert answer.headers["content-type"] == wire.STREAM_TYPE
    assert [json.loads(line) for line in answer.body.splitlines()] == [
        ATTACHED,
        {"event": "tick"},
        {"event": "stopping"},
    ]
    assert elector.calls == [("open_stream", CLIENT, "127.0.0.1:50000")]
    assert stream.closings == [False]


@pytest.mark.parametrize(("peer", "text"), [(("127.0.0.1", 5), "127.0.0.1:5"), (("::1", 5), "[::1]:5")])
def test_stream_peer_is_written_as_the_client_writes_it(peer: tuple[str, int], text: str) -> None:
    elector = FakeElector(open_stream=FakeStream())
    ask(app_of(elector), "GET", SESSION + "/stream", peer=peer)
    assert elector.calls == [("open_stream", CLIENT, text)]


async def _all_sent(stream: FakeStream) -> None:
    for _ in range(1000):
        if not stream.events:
            return
        await asyncio.sleep(0)
    raise AssertionError(stream.events)


def test_stream_end_by_the_peer_is_told_as_such() -> None:
    async def scenario() -> list[bool]:
        gone = asyncio.Event()
        stream = FakeStream(ATTACHED, ends=False)
        request = asyncio.create_task(
            asked(app_of(FakeElector(open_stream=stream)), "GET", SESSION + "/stream", gone=gone)
        )
        await _all_sent(stream)
        gone.set()
        await asyncio.wait_for(request, 5)
        return stream.closings

    assert asyncio.run(scenario())[0] is True


def test_stream_that_the_server_cancels_is_not_the_peers_end() -> None:
    async def scenario() -> list[bool]:
        stream = FakeStream(ATTACHED, ends=False)
        request = asyncio.create_task(asked(app_of(FakeElector(open_stream=stream)), "GET", SESSION + "/stream"))
        await _all_sent(stream)
        request.cancel()
        await asyncio.wait([request])
        return stream.closings

    assert asyncio.run(scenario()) == [False]


@pytest.mark.parametrize(("problem", "http_status"), [(UnknownClient(CLIENT), 409), (ElectorStopping(), 503)])
def test_stream_that_is_refused(problem: Any, http_status: int) -> None:
    answer = ask(app_of(FakeElector(open_stream=problem)), "GET", SESSION + "/stream")
    assert (answer.status, answer.code) == (http_status, problem.code)
