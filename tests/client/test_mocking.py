"""Users can mock the transport with `responses`, as that of any program that uses `requests`."""

from __future__ import annotations

import json
import re

import pytest
import responses

from metaparticle_sync import ElectorUnavailable, Lock, _keeper

URL = "http://127.0.0.1:13131"
SESSION = {
    "client": "c" * 32,
    "incarnation": "one",
    "valid_seconds": 10.0,
    "ttl_seconds": 30.0,
    "tick_seconds": 5.0,
    "holds": [],
    "lost": [],
}


@pytest.fixture
def mocked(monkeypatch):
    monkeypatch.delenv("METAPARTICLE_SYNC_URL", raising=False)
    with responses.RequestsMock(assert_all_requests_are_fired=False) as mock:
        mock.add(responses.PUT, _pattern("/sessions/[0-9a-f]+$"), json=SESSION)
        mock.add(responses.POST, _pattern("/sessions/[0-9a-f]+$"), json=SESSION)
        mock.add(responses.DELETE, _pattern("/sessions/[0-9a-f]+$"), status=204)
        mock.add(responses.GET, _pattern("/sessions/[0-9a-f]+/stream$"), body=b'{"event": "tick"}\n')
        yield mock
        for keeper in list(_keeper._keepers.values()):
            keeper.close()
        _keeper._keepers.clear()


def _pattern(path):
    return re.compile(re.escape(URL) + path)


def _grant(request):
    asked = json.loads(request.body)
    answer = {"name": "orders", "state": "held", "token": "17", "valid_seconds": 10.0, "incarnation": "one"}
    return 200, {}, json.dumps(answer | {"holder": asked["holder"]})


def test_acquire_and_release(mocked):
    mocked.add_callback(responses.PUT, f"{URL}/locks/orders", _grant)
    mocked.delete(f"{URL}/locks/orders", status=204)
    with Lock("orders") as lock_is_held:
        assert lock_is_held
    sent = [(call.request.method, call.request.url) for call in mocked.calls if "/locks" in call.request.url]
    assert sent == [("PUT", f"{URL}/locks/orders"), ("DELETE", f"{URL}/locks/orders")]


def test_somebody_else_has_it(mocked):
    problem = {"status": 409, "code": "lock_held", "detail": "pod-7 has it", "title": "Conflict", "type": "about:blank"}
    mocked.put(f"{URL}/locks/orders", status=409, json=problem)
    assert Lock("orders").acquire(blocking=False) is False


def test_what_is_not_mocked_is_not_available(mocked):
    with pytest.raises(ElectorUnavailable, match="match any registered mock"):
        Lock("orders").acquire(timeout=0.1)


def test_waiting_then_granted(mocked):
    mocked.put(f"{URL}/locks/orders", status=202, json={"name": "orders", "state": "waiting", "holder": "h"})
    mocked.add_callback(responses.PUT, f"{URL}/locks/orders", _grant)
    lock = Lock("orders")
    assert lock.acquire()
    assert lock.token == 17


def test_quoted_dots_are_not_resolved(mocked):
    mocked.add_callback(responses.PUT, f"{URL}/locks/%2E%2E", _grant)
    assert Lock("..").acquire(blocking=False)
