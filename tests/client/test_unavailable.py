"""No elector, a late one, one that went away, and servers that are none."""

from __future__ import annotations

import socket
import threading
import time

import pytest

from metaparticle_sync import ElectorUnavailable, Lock, _waiting
from tests.client.fake_elector import FakeElector, eventually
from tests.client.faults import drop, hang, refuses, says, trickles, truncates


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture
def nowhere(monkeypatch, impatient):
    url = f"http://127.0.0.1:{free_port()}"
    monkeypatch.setenv("METAPARTICLE_SYNC_URL", url)
    return url


def test_first_contact_waits_then_names_address_and_command(nowhere):
    before = time.monotonic()
    with pytest.raises(ElectorUnavailable) as caught:
        Lock("x").acquire()
    assert time.monotonic() - before >= 0.3
    assert isinstance(caught.value, ConnectionError)
    assert caught.value.address == nowhere
    assert nowhere in str(caught.value)
    assert "Connection refused" in str(caught.value)
    assert "command `elector`" in str(caught.value)
    assert "METAPARTICLE_SYNC_URL" in str(caught.value)


def test_an_elector_that_is_not_ready_says_why(elector, impatient):
    elector.incarnation = ""
    elector.status_extras = {"not_ready": {"code": "store_forbidden", "reason": "jane may not list sessions"}}
    with pytest.raises(ElectorUnavailable, match=r"not ready \(store_forbidden\): jane may not list") as caught:
        Lock("x").acquire()
    assert "Start an elector" not in str(caught.value)


def test_an_older_elector_that_is_not_ready_gives_no_reason(elector, impatient):
    elector.incarnation = ""
    with pytest.raises(ElectorUnavailable, match="is starting"):
        Lock("x").acquire()


def test_first_contact_lasts_five_seconds():
    assert _waiting.FIRST_CONTACT_SECONDS == 5.0


def test_single_try_does_not_wait(nowhere, monkeypatch):
    monkeypatch.setattr("metaparticle_sync._waiting.FIRST_CONTACT_SECONDS", 60.0)
    before = time.monotonic()
    with pytest.raises(ElectorUnavailable, match="Start an elector"):
        Lock("x").acquire(blocking=False)
    assert time.monotonic() - before < 1


def test_timeout_below_the_first_contact(nowhere, monkeypatch):
    monkeypatch.setattr("metaparticle_sync._waiting.FIRST_CONTACT_SECONDS", 60.0)
    before = time.monotonic()
    with pytest.raises(ElectorUnavailable):
        Lock("x").acquire(timeout=0.1)
    assert 0.1 <= time.monotonic() - before < 1.1


def test_locked_without_an_elector(nowhere):
    with pytest.raises(ElectorUnavailable, match=f"{nowhere}.*Start an elector"):
        Lock("x").locked()


def test_release_without_an_elector(nowhere):
    with pytest.raises(RuntimeError, match="release unlocked lock"):
        Lock("x").release()


def test_elector_that_starts_later_is_found(monkeypatch):
    fake = FakeElector()
    fake.port = free_port()
    monkeypatch.setenv("METAPARTICLE_SYNC_URL", fake.url)
    lock = Lock("x")
    acquired = []
    thread = threading.Thread(target=lambda: acquired.append(lock.acquire()))
    thread.start()
    try:
        fake.start()
        thread.join(10)
        assert acquired == [True]
    finally:
        lock._keeper.close()
        fake.kill()


def test_silent_listener_is_given_up_in_time(monkeypatch, impatient):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        monkeypatch.setenv("METAPARTICLE_SYNC_URL", f"http://127.0.0.1:{listener.getsockname()[1]}")
        before = time.monotonic()
        with pytest.raises(ElectorUnavailable, match="timed out"):
            Lock("x").acquire(blocking=False)
        assert time.monotonic() - before < 1.2
        before = time.monotonic()
        with pytest.raises(ElectorUnavailable, match="timed out"):
            Lock("x").acquire()
        assert time.monotonic() - before < 3


FOREIGN = [
    ("html", says(200, b"<html>hello</html>", "text/html"), "HTTP 200, text/html, '<html>hello"),
    ("other json", says(200, {"hello": "world"}), "is no elector"),
    ("list", says(200, [1, 2]), "is no elector"),
    ("not found", says(404, b"404 page not found", "text/plain"), "HTTP 404, text/plain, '404 page not found'"),
    ("foreign 404", says(404, {"error": "no"}), "HTTP 404"),
    ("redirect", says(302, b"moved", "text/html"), "HTTP 302"),
    ("nothing", says(200, b""), "HTTP 200"),
    ("foreign 503", says(503, b"upstream", "text/plain"), "HTTP 503"),
    ("truncated", truncates, "broke off"),
    ("dropped", drop, "not available"),
    ("internal error", refuses(500, "internal_error"), "internal_error"),
    ("starting", refuses(503, "elector_starting"), "elector_starting"),
]


@pytest.mark.parametrize(("act", "says_why"), [case[1:] for case in FOREIGN], ids=[case[0] for case in FOREIGN])
@pytest.mark.parametrize("path", ["/sessions/[^/]*$", "/locks/x"])
def test_whatever_answers_the_error_is_clear(elector, impatient, act, says_why, path):
    elector.inject("PUT", path, act, times=10_000)
    with pytest.raises(ElectorUnavailable) as caught:
        Lock("x").acquire(timeout=0.1)
    assert says_why in str(caught.value)
    assert elector.url in str(caught.value)
    with pytest.raises(ElectorUnavailable):
        Lock("x").acquire(blocking=False)


def test_endless_answer_does_not_outlast_the_timeout(elector, impatient):
    elector.inject("PUT", "/locks/x", trickles, times=10_000)
    before = time.monotonic()
    with pytest.raises(ElectorUnavailable, match="timed out"):
        Lock("x").acquire(timeout=0.1)
    assert time.monotonic() - before < 1.1


@pytest.mark.parametrize("act", [drop, truncates, refuses(503, "store_unavailable"), says(200, b"<html>")])
def test_passing_trouble_is_not_seen(elector, act):
    elector.inject("PUT", "/locks/x", act, times=3)
    lock = Lock("x")
    assert lock.acquire(timeout=10)
    assert len({request.body["holder"] for request in elector.asked("PUT", "/locks/x")}) == 1
    elector.inject("DELETE", "/locks/x", act, times=3)
    lock.release()
    assert eventually(lambda: elector.locks == {})


def test_unavailable_for_the_whole_timeout_is_not_false(elector):
    lock = Lock("x")
    with lock:
        pass
    elector.inject("PUT", "/locks/x", refuses(503, "store_unavailable"), times=10_000)
    with pytest.raises(ElectorUnavailable, match="store_unavailable"):
        lock.acquire(timeout=0.2)


def test_false_if_somebody_was_known_to_have_it(elector):
    elector.take("x")
    lock = Lock("x", unavailable_seconds=0.2)  # Polls of 0.16 s.
    lock.locked()
    results = []
    thread = threading.Thread(target=lambda: results.append(lock.acquire(timeout=0.4)))
    thread.start()
    assert eventually(lambda: len(elector.asked("PUT", "/locks/x")) == 2)
    elector.inject("PUT", "/locks/x", refuses(503, "elector_busy"), times=10_000)
    thread.join()
    assert results == [False]


def test_away_for_long_ends_a_waiting_acquire(elector, impatient):
    elector.take("x")
    lock = Lock("x", unavailable_seconds=0.5)
    errors = []

    def acquire():
        try:
            lock.acquire()
        except ElectorUnavailable as error:
            errors.append(error)

    thread = threading.Thread(target=acquire)
    thread.start()
    assert eventually(lambda: elector.asked("PUT", "/locks/x"))
    elector.kill()
    thread.join(10)
    assert "last heard of" in str(errors[0])


def test_hanging_elector_ends_a_waiting_acquire(elector, impatient):
    elector.take("x")
    lock = Lock("x", unavailable_seconds=0.5)
    with Lock("y"):
        pass
    elector.inject("PUT", "/locks/x", hang, times=10_000)
    before = time.monotonic()
    with pytest.raises(ElectorUnavailable, match="timed out"):
        lock.acquire()
    assert time.monotonic() - before < 5


def test_release_is_not_held_up_by_an_elector_that_is_away(elector):
    lock = Lock("x")
    lock.acquire()
    elector.inject("DELETE", "/locks/x", hang, times=1)
    before = time.monotonic()
    lock.release()
    assert time.monotonic() - before < 1.5
    assert not lock.held
    assert eventually(lambda: elector.locks == {})


def test_release_drops_the_belief_first(elector):
    lock = Lock("x")
    lock.acquire()
    seen = []
    elector.inject("DELETE", "/locks/x", lambda handler: (seen.append(lock.held), handler.answer(204)))
    lock.release()
    assert seen == [False]
