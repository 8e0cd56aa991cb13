"""What a request passes before it reaches a resource, and what becomes of it when something fails."""

from __future__ import annotations

import asyncio
import json
import logging
from typing import Any

import pytest

from elector_server.acquisitions import StillWaiting
from metaparticle_sync import wire
from tests.http.asking import HEALTH_PORT, Answer, app_of, ask, asked
from tests.http.fake_elector import CLIENT, HOLDER, FakeElector, granted

ACQUIRE = json.dumps({"client": CLIENT, "holder": HOLDER, "wait_seconds": 25}).encode()


def _get(*headers: tuple[str, str], target: str = "/locks/a", **options: Any) -> Answer:
    return ask(app_of(FakeElector(read_lock=None), **options), "GET", target, headers=headers)


@pytest.mark.parametrize(
    ("host", "is_ours"),
    [
        ("localhost", True),
        ("localhost:13131", True),
        ("LocalHost:1", True),
        ("localhost.", True),
        ("127.0.0.1", True),
        ("127.0.0.1:13131", True),
        ("127.8.9.1:80", True),
        ("[::1]", True),
        ("[::1]:13131", True),
        ("elector.example", True),
        ("ELECTOR.example:80", True),
        ("evil.example", False),
        ("localhost.evil.example", False),
        ("127.0.0.1.evil.example", False),
        ("sub.elector.example", False),
        ("10.0.0.1", False),
        ("0.0.0.0", False),
        ("[::]", False),
        ("[::1", False),
        ("[::1]x", False),
        ("localhost:", False),
        ("localhost:x", False),
        ("localhost:1:2", False),
        ("user@localhost", False),
        ("2130706433", False),
        ("", False),
        ("löcalhost", False),
    ],
)
def test_host(host: str, is_ours) -> None:
    answer = _get(("host", host), allowed_hosts=["elector.example"])
    if is_ours:
        assert answer.status == 404
    else:
        assert (answer.status, answer.code) == (421, "wrong_host")


def test_two_hosts_are_refused() -> None:
    assert _get(("host", "localhost"), ("host", "localhost")).code == "wrong_host"


def test_an_old_client_may_leave_the_host_out() -> None:
    assert _get().status == 404


@pytest.mark.parametrize(
    ("header", "value", "passes"),
    [
        ("origin", "https://evil.example", False),
        ("origin", "http://localhost:13131", False),
        ("origin", "null", False),
        ("origin", "", False),
        ("sec-fetch-site", "cross-site", False),
        ("sec-fetch-site", "same-site", False),
        ("sec-fetch-site", "none", True),
        ("sec-fetch-site", "same-origin", True),
    ],
)
@pytest.mark.parametrize("port", [13131, HEALTH_PORT], ids=["locks", "health"])
def test_web_pages(header: str, value: str, passes, port: int) -> None:
    elector = FakeElector(read_lock=None)
    target = "/locks/a" if port == 13131 else "/healthz"
    answer = ask(app_of(elector), "GET", target, headers=[("host", "localhost"), (header, value)], port=port)
    if passes:
        assert answer.status in {200, 404}
    else:
        assert (answer.status, answer.code) == (403, "cross_origin")
        assert elector.calls == []


def test_no_answer_allows_another_origin() -> None:
    answer = _get(("host", "localhost"))
    assert not [name for name in answer.headers if name.startswith("access-control")]


@pytest.mark.parametrize(
    "target",
    [
        "/",
        "",
        "*",
        "/lock",
        "/lockss/a",
        "/Locks",
        "/sessions",
        f"/sessions/{CLIENT}/",
        f"/sessions/{CLIENT}/streams",
        f"/sessions/{CLIENT}/stream/x",
        "/openapi.json/",
        "/healthz",
        "/metrics",
        "/elections/a",
        "/semaphore/a",
        "/line%0Abreak",
    ],
)
@pytest.mark.parametrize("method", ["GET", "PUT", "POST", "DELETE", "OPTIONS", "HEAD", "PATCH"])
def test_what_leads_nowhere_is_never_404(method: str, target: str) -> None:
    elector = FakeElector()
    answer = ask(app_of(elector), method, target)
    assert answer.status == 400
    if method != "HEAD":
        assert answer.code == "bad_path"
    assert elector.calls == []


@pytest.mark.parametrize(
    ("method", "target", "allowed"),
    [
        ("PATCH", "/locks/a", {"GET", "PUT", "POST", "DELETE"}),
        ("HEAD", "/locks/a", {"GET", "PUT", "POST", "DELETE"}),
        ("PROPFIND", "/locks/a", {"GET", "PUT", "POST", "DELETE"}),
        ("WEBSOCKET", "/locks/a", {"GET", "PUT", "POST", "DELETE"}),
        ("PUT", "/locks", {"GET"}),
        ("DELETE", "/locks", {"GET"}),
        ("GET", f"/sessions/{CLIENT}", {"PUT", "POST", "DELETE"}),
        ("POST", f"/sessions/{CLIENT}/stream", {"GET"}),
        ("POST", "/openapi.json", {"GET"}),
        ("PATCH", "/semaphores/a", {"GET", "PUT", "POST", "DELETE"}),
        ("HEAD", "/semaphores/a", {"GET", "PUT", "POST", "DELETE"}),
        ("HEAD", "/events/a", {"GET", "PUT", "POST"}),
        ("DELETE", "/events/a", {"GET", "PUT", "POST"}),
        ("PATCH", "/conditions/a", {"GET", "PUT", "POST", "DELETE"}),
        ("PATCH", "/barriers/a", {"GET", "PUT", "POST", "DELETE"}),
        ("PUT", "/semaphores", {"GET"}),
        ("POST", "/events", {"GET"}),
        ("DELETE", "/conditions", {"GET"}),
        ("HEAD", "/barriers", {"GET"}),
    ],
)
def test_wrong_methods(method: str, target: str, allowed: set[str]) -> None:
    elector = FakeElector()
    answer = ask(app_of(elector), method, target)
    assert answer.status == 405
    assert answer.headers["content-type"] == wire.PROBLEM_TYPE
    assert set(answer.headers["allow"].split(", ")) - {"OPTIONS"} == allowed
    assert elector.calls == []


def test_a_parked_request_is_told_of_its_callers_departure() -> None:
    departed = []

    async def park(departure: Any) -> StillWaiting:
        await departure.wait()
        departed.append(True)
        return StillWaiting("a", HOLDER)

    async def scenario() -> None:
        gone = asyncio.Event()
        request = asyncio.create_task(asked(app_of(FakeElector(acquire=park)), "PUT", "/locks/a", ACQUIRE, gone=gone))
        for _ in range(20):
            await asyncio.sleep(0)
        assert not departed
        gone.set()
        await asyncio.wait_for(request, 5)

    asyncio.run(scenario())
    assert departed


def test_nothing_watches_a_request_that_does_not_park() -> None:
    async def scenario() -> int:
        await asked(app_of(FakeElector(acquire=granted())), "PUT", "/locks/a", ACQUIRE)
        return len(asyncio.all_tasks())

    assert asyncio.run(scenario()) == 1


def test_a_caller_that_leaves_amid_its_body_changes_nothing() -> None:
    elector = FakeElector()
    app = app_of(elector)
    events: list[dict[str, Any]] = [
        {"type": "http.request", "body": b'{"client"', "more_body": True},
        {"type": "http.disconnect"},
    ]

    async def receive() -> dict[str, Any]:
        return events.pop(0)

    async def send(event: dict[str, Any]) -> None:
        raise AssertionError(event)

    asyncio.run(app({"type": "http", "method": "PUT"}, receive, send))
    assert elector.calls == []


def test_a_defect_is_one_line_with_a_traceback_and_a_500(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "elector"):
        answer = ask(app_of(FakeElector(acquire=RuntimeError("a defect"))), "PUT", "/locks/a", ACQUIRE)
    assert (answer.status, answer.code) == (500, "internal_error")
    assert "a defect" not in answer.detail
    assert [record.levelname for record in caplog.records] == ["ERROR"]
    assert caplog.records[0].exc_info is not None


def test_a_request_that_the_server_cancels_at_its_stop_is_told_so() -> None:
    async def scenario() -> Answer:
        async def park(departure: Any) -> None:
            await asyncio.Event().wait()

        request = asyncio.create_task(asked(app_of(FakeElector(acquire=park)), "PUT", "/locks/a", ACQUIRE))
        for _ in range(20):
            await asyncio.sleep(0)
        request.cancel()
        return await request

    answer = asyncio.run(scenario())
    assert (answer.status, answer.code) == (503, "elector_stopping")


def test_the_elector_lives_as_long_as_its_server() -> None:
    elector = FakeElector(start=None, stop=None)
    events = [{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}]
    sent: list[str] = []

    async def receive() -> dict[str, Any]:
        return events.pop(0)

    async def send(event: dict[str, Any]) -> None:
        sent.append(event["type"])

    asyncio.run(app_of(elector)({"type": "lifespan", "asgi": {"version": "3.0"}}, receive, send))
    assert elector.calls == [("start",), ("stop",)]
    assert sent == ["lifespan.startup.complete", "lifespan.shutdown.complete"]
