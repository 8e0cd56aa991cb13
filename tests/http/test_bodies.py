"""Bodies that are refused: each with a sentence that says which field, which value, what would be right."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metaparticle_sync import wire
from tests.http.asking import app_of, ask
from tests.http.fake_elector import CLIENT, HOLDER, FakeElector, granted, status

GOOD = {"client": CLIENT, "holder": HOLDER, "wait_seconds": 1}
HOLD = {"kind": "lock", "name": "orders", "holder": HOLDER, "token": "5"}


def _refused(method: str, target: str, body: Any) -> str:
    elector = FakeElector()
    encoded = body if isinstance(body, bytes) else json.dumps(body).encode()
    answer = ask(app_of(elector), method, target, encoded)
    assert (answer.status, answer.code) == (400, "bad_body")
    assert elector.calls == []
    return answer.detail


@pytest.mark.parametrize(
    ("body", "said"),
    [
        pytest.param(b"no json", "no JSON", id="no JSON"),
        pytest.param(b"{", "no JSON", id="half an object"),
        pytest.param(b"\xff\xfe", "not UTF-8", id="not UTF-8"),
        pytest.param(b"[" * 100_000, "nested too deeply", id="nested too deeply"),
        pytest.param(b'{"wait_seconds": %s}' % (b"9" * 5000), "number too long", id="a number of 5,000 digits"),
        pytest.param([], "a list", id="a list"),
        pytest.param("text", "a text", id="a text"),
        pytest.param(None, "null", id="null"),
        pytest.param(5, "a number", id="a number"),
        pytest.param(True, "true or false", id="a boolean"),
        pytest.param({}, "field client is missing", id="no field"),
        pytest.param({"client": CLIENT}, "field holder is missing", id="no holder"),
        pytest.param(
            GOOD | {"wait": 1}, '"wait"; possible: client, holder, metadata, wait_seconds', id="unknown field"
        ),
        pytest.param(b'{"client": "a", "client": "b"}', '"client" stands twice', id="a field twice"),
        pytest.param(GOOD | {"client": 5}, "field client is 5; it must be 32", id="client is a number"),
        pytest.param(GOOD | {"client": "C" * 32}, "lower-case", id="client in upper case"),
        pytest.param(GOOD | {"client": "c" * 31}, "32 lower-case", id="client too short"),
        pytest.param(GOOD | {"holder": None}, "field holder is null", id="holder is null"),
        pytest.param(GOOD | {"holder": "x" * 4000}, "...; it must be 32", id="a long holder is cut"),
        pytest.param(GOOD | {"wait_seconds": "1"}, 'wait_seconds is "1"', id="wait is text"),
        pytest.param(GOOD | {"wait_seconds": True}, "wait_seconds is true", id="wait is a boolean"),
        pytest.param(GOOD | {"wait_seconds": None}, "wait_seconds is null", id="wait is null"),
        pytest.param(GOOD | {"wait_seconds": -2}, "from 0 to 25", id="wait is negative"),
        pytest.param(GOOD | {"wait_seconds": 25.1}, "from 0 to 25", id="wait is too long"),
        pytest.param(b'{"wait_seconds": NaN}', "NaN is no JSON number", id="NaN"),
        pytest.param(b'{"wait_seconds": -Infinity}', "-Infinity is no JSON number", id="infinity"),
        pytest.param(json.dumps(GOOD).replace("1", "1e999").encode(), "from 0 to 25", id="1e999"),
    ],
)
def test_acquire(body: Any, said: str) -> None:
    assert said in _refused("PUT", "/locks/orders", body)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        pytest.param(b"", "no JSON", id="empty"),
        pytest.param({"client": CLIENT}, "field holder is missing", id="no holder"),
        pytest.param(GOOD, '"wait_seconds"', id="a field of acquire"),
    ],
)
def test_release(body: Any, said: str) -> None:
    assert said in _refused("DELETE", "/locks/orders", body)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        pytest.param({}, "field process is missing", id="no process"),
        pytest.param({"process": ""}, "1 to 256", id="empty process"),
        pytest.param({"process": "p" * 257}, "1 to 256", id="long process"),
        pytest.param({"process": "\ud800"}, "1 to 256", id="half a surrogate pair"),
        pytest.param({"process": "p", "stream": "nowhere"}, "127.0.0.1:43210", id="stream without port"),
        pytest.param({"process": "p", "stream": 5}, "field stream is 5", id="stream is a number"),
        pytest.param({"process": "p", "stream": "a:" + "1" * 99}, "field stream", id="stream too long"),
        pytest.param({"process": "p", "holds": {}}, "a list of at most 10000", id="holds is an object"),
        pytest.param({"process": "p", "holds": [1] * 10_001}, "a list of at most 10000", id="too many holds"),
        pytest.param({"process": "p", "holds": [1]}, "holds[0] is 1", id="a hold is a number"),
        pytest.param({"process": "p", "holds": [HOLD, {}]}, "of holds[1] is missing", id="a hold without fields"),
        pytest.param({"process": "p", "holds": [HOLD | {"x": 1}]}, "holds[0] has a field", id="a hold with more"),
        pytest.param({"process": "p", "holds": [HOLD | {"kind": "event"}]}, '"lock" or "semaphore"', id="unknown kind"),
        pytest.param({"process": "p", "holds": [HOLD | {"kind": []}]}, '"lock"', id="kind is a list"),
        pytest.param({"process": "p", "holds": [HOLD | {"name": ""}]}, "field name", id="empty name"),
        pytest.param({"process": "p", "holds": [HOLD | {"name": 5}]}, "field name", id="name is a number"),
        pytest.param({"process": "p", "holds": [HOLD | {"name": "\ud800"}]}, "surrogate", id="name is no text"),
        pytest.param({"process": "p", "holds": [HOLD | {"token": 5}]}, "as text", id="token is a number"),
        pytest.param({"process": "p", "holds": [HOLD | {"token": "-5"}]}, "decimal", id="token is negative"),
        pytest.param({"process": "p", "holds": [HOLD | {"token": "٣"}]}, "decimal", id="token in other digits"),
        pytest.param({"process": "p", "holds": [HOLD | {"token": "9" * 41}]}, "decimal", id="token too long"),
    ],
)
def test_open_session(body: Any, said: str) -> None:
    assert said in _refused("PUT", f"/sessions/{CLIENT}", body)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        pytest.param({"acknowledged": "x"}, "a list of at most", id="acknowledged is text"),
        pytest.param({"acknowledged": [HOLDER, "x"]}, "acknowledged[1]", id="acknowledged is no id"),
        pytest.param({"holds": []}, '"holds"', id="a field of open"),
    ],
)
def test_heartbeat(body: Any, said: str) -> None:
    assert said in _refused("POST", f"/sessions/{CLIENT}", body)


@pytest.mark.parametrize(
    ("content_type", "is_taken"),
    [
        ("application/json", True),
        ("application/json; charset=utf-8", True),
        ("Application/JSON", True),
        (None, True),
        ("text/plain", False),
        ("application/x-www-form-urlencoded", False),
        ("application/problem+json", False),
        ("", False),
    ],
)
def test_media_type(content_type: str | None, is_taken) -> None:
    headers = [("host", "localhost")] + ([] if content_type is None else [("content-type", content_type)])
    answer = ask(app_of(FakeElector(acquire=granted())), "PUT", "/locks/a", json.dumps(GOOD).encode(), headers=headers)
    if is_taken:
        assert answer.status == 200
    else:
        assert (answer.status, answer.code) == (415, "unsupported_media_type")
        assert "Content-Type: application/json" in answer.detail


def _bytes_of_length(length: int) -> bytes:
    return b'{"acknowledged": []' + b" " * (length - 20) + b"}"


@pytest.mark.parametrize("pieces", [1, 7], ids=["at once", "in pieces"])
def test_body_as_large_as_it_may_be(pieces: int) -> None:
    body = _bytes_of_length(wire.BODY_BYTES_MAX)
    size = -(-len(body) // pieces)
    parts = [body[start : start + size] for start in range(0, len(body), size)]
    assert ask(app_of(FakeElector(heartbeat=status())), "POST", f"/sessions/{CLIENT}", parts).status == 200


def test_body_that_never_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("elector_server.resources.caller.BODY_SECONDS", 0.01)

    async def scenario() -> dict[str, Any]:
        sent: list[dict[str, Any]] = []
        events = [{"type": "http.request", "body": b"{", "more_body": True}]

        async def receive() -> dict[str, Any]:
            if not events:
                await asyncio.Event().wait()
            return events.pop()

        async def send(event: dict[str, Any]) -> None:
            sent.append(event)

        await app_of(FakeElector())({"type": "http", "method": "PUT"}, receive, send)
        return sent[0] | json.loads(sent[1]["body"])

    answer = asyncio.run(scenario())
    assert (answer["status"], answer["code"]) == (400, "bad_body")
    assert "did not arrive within" in answer["detail"]


@pytest.mark.parametrize("declared", ["5", "9999999", None], ids=["declared too small", "declared", "not declared"])
@pytest.mark.parametrize("method", ["GET", "PUT", "POST", "DELETE"])
def test_body_too_large(method: str, declared: str | None) -> None:
    elector = FakeElector()
    headers = [("host", "localhost")] + ([] if declared is None else [("content-length", declared)])
    parts = [b" " * 65536] * 33
    answer = ask(app_of(elector), method, "/locks/orders", parts, headers=headers)
    assert (answer.status, answer.code) == (413, "body_too_large")
    assert elector.calls == []


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(sorted(GOOD)), inner, max_size=3),
    max_leaves=8,
)


@settings(deadline=None)  # The machine may be busy.
@given(JSON | st.dictionaries(st.sampled_from(["process", "holds", "stream", "acknowledged"]), JSON, max_size=4))
def test_no_json_at_all_breaks_the_elector(body: Any) -> None:
    app = app_of(FakeElector(acquire=granted(), release=True, open_client=status(), heartbeat=status()))
    encoded = json.dumps(body).encode()
    for method, target in [
        ("PUT", "/locks/a"),
        ("DELETE", "/locks/a"),
        ("PUT", f"/sessions/{CLIENT}"),
        ("POST", f"/sessions/{CLIENT}"),
    ]:
        answer = ask(app, method, target, encoded)
        assert answer.status in {200, 204} or (answer.status, answer.code) == (400, "bad_body")
