"""A write meets a fault between elector and API server, for less than the lease: nobody is told, nobody waits long."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from tests.cluster import wire_faults as faults
from tests.cluster.control_plane import ControlPlane
from tests.cluster.fault_proxy import Fault
from tests.cluster.proxied import ProxiedPods, checked, proxied_pods
from tests.cluster.recorder import Recorder
from tests.processes.electors import Leases
from tests.processes.history import now_ns, seconds_between
from tests.processes.running import GENEROUS, wait_until

LEASES: Final = Leases(10.0, 60.0)
ATTEMPT_SECONDS: Final = 0.9 * LEASES.lease_seconds / 5
"""After which the elector gives up one unanswered request."""

ELECTOR_BYTES_MAX: Final = 200 * 2**20
"""An elector has some 60 MiB, an answer that it takes at most 32."""

FAULTS: Final[dict[str, Fault]] = {
    "429, Retry-After: 1": faults.refuse(429, "TooManyRequests", Retry_After="1"),
    "429, no Retry-After": faults.refuse(429, "TooManyRequests"),
    "429, Retry-After: a date": faults.refuse(429, "TooManyRequests", Retry_After="Wed, 21 Oct 2099 07:28:00 GMT"),
    "429, Retry-After: 1000000000": faults.refuse(429, "TooManyRequests", Retry_After="1000000000"),
    "500": faults.refuse(500, "InternalError"),
    "503": faults.refuse(503, "ServiceUnavailable"),
    "504": faults.refuse(504, "Timeout"),
    "500 after it took effect": faults.say_afterwards(500, b"oops"),
    "reset before it is sent on": faults.reset,
    "reset after it took effect": faults.reset_afterwards,
    "answer cut in its headers": faults.cut_the_head,
    "answer cut in its body": faults.cut_the_body,
    "answer lost": faults.lose_the_answer,
    "not HTTP": faults.send_raw(b"SSH-2.0-OpenSSH_9.2\r\n"),
    "200, but not JSON": faults.say(200, b"<html>welcome to the hotel's network</html>"),
    "200, but another JSON": faults.say(200, {}),
    "200, but null": faults.say(200, b"null"),
    "301": faults.say(301, Location="https://127.0.0.1:1/"),
    "307": faults.say(307, Location="https://127.0.0.1:1/"),
    "a body without end": faults.send_without_end(b"HTTP/1.1 200 OK\r\nContent-Length: 999999999999\r\n\r\n"),
    "headers without end": faults.send_without_end(b"HTTP/1.1 200 OK\r\n", b"X-More: " + b"x" * 65_000 + b"\r\n"),
}


@pytest.fixture(scope="module")
def shared(
    request: pytest.FixtureRequest, plane: ControlPlane, recorder: Recorder, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ProxiedPods]:
    with proxied_pods(request, plane, recorder, tmp_path_factory.mktemp("writes"), LEASES) as pods:
        yield pods


RENEWALS_MEET: Final[dict[str, list[str]]] = {
    "429, Retry-After: 1": ["429, Retry-After: 1"] * 2,
    "429, Retry-After: 1000000000": ["429, Retry-After: 1000000000"] * 2,
    "500, 503, 504, 301, 307": ["500", "503", "504", "301", "307"],
    "resets, cut answers, no HTTP": [
        "reset before it is sent on",
        "reset after it took effect",
        "answer cut in its headers",
        "answer cut in its body",
        "not HTTP",
    ],
    "answer lost": ["answer lost"],
    "successes of somebody else": ["200, but not JSON", "200, but another JSON", "200, but null"],
    "answers without end": ["a body without end", "headers without end"],
}
"""Each row one after the other, on one renewal."""


@pytest.mark.parametrize("row", RENEWALS_MEET)
def test_renewals(shared: ProxiedPods, row: str) -> None:
    """The holder keeps its hold, and hears of nothing."""
    with checked(shared) as name:
        shared.here.acquire(name)
        losses, renewals = shared.losses(), len(shared.renewals())
        rules = [
            shared.proxy.rule(FAULTS[fault], "update", "sessions", times=1) for fault in reversed(RENEWALS_MEET[row])
        ]
        wait_until(lambda: all(rule.is_used_up for rule in rules), "all faults were met")
        met = [exchange for rule in rules for exchange in rule.met]
        renewed = wait_until(
            lambda: [one for one in shared.renewals()[renewals:] if one.at > max(one.at for one in met)],
            "the session is renewed",
        )
        took = seconds_between(min(one.at for one in met), renewed[0].at)
        shared.measure(f"renewals meet: {row}", took, LEASES.validity_seconds)
        shared.here.wait_for_belief(name, now_ns())
        assert shared.losses() == losses
        shared.here.release(name)


@pytest.mark.parametrize("fault", FAULTS)
def test_acquire(shared: ProxiedPods, fault: str) -> None:
    """The lock is there all the same, once."""
    with checked(shared) as name:
        rule = shared.proxy.rule(FAULTS[fault], "create", "locks", times=1)
        begun = now_ns()
        held = shared.here.acquire(name)
        assert rule.is_used_up
        promised = ATTEMPT_SECONDS + 1.0
        took = seconds_between(begun, held.at)
        assert took < promised * GENEROUS
        assert [tenure.token for tenure in shared.tenures(name)] == [held.token]
        shared.here.release(name)
        wait_until(lambda: shared.far.is_free(name), "it is free")


@pytest.mark.parametrize("fault", FAULTS)
def test_hand_off(shared: ProxiedPods, fault: str) -> None:
    """The waiter of the other pod gets the lock all the same."""
    with checked(shared) as name:
        held = shared.here.acquire(name)
        shared.queue_up_there(name)
        rule = shared.proxy.rule(FAULTS[fault], "update", "locks", times=1)
        released_at = now_ns()
        shared.here.do("release", name=name)
        granted = shared.there.wait_for("ok", what="acquire", name=name)
        assert rule.is_used_up
        promised = ATTEMPT_SECONDS + 1.0
        took = seconds_between(released_at, granted.at)
        assert took < promised * GENEROUS
        assert [tenure.token for tenure in shared.tenures(name)] == [held.token, granted.token]
        shared.there.release(name)


@pytest.mark.parametrize("fault", FAULTS)
def test_queue_and_release(shared: ProxiedPods, fault: str) -> None:
    """A waiter behind the fault gets in line, has its turn, and leaves nothing behind."""
    with checked(shared) as name:
        shared.there.acquire(name)
        queueing = shared.proxy.rule(FAULTS[fault], "update", "locks", times=1)
        shared.queue_up_here(name)
        shared.there.release(name)
        granted = shared.here.wait_for("ok", what="acquire", name=name)
        freeing = shared.proxy.rule(FAULTS[fault], "delete", "locks", times=1)
        released_at = now_ns()
        shared.here.do("release", name=name)
        wait_until(lambda: shared.far.is_free(name), "it is free")
        assert queueing.is_used_up
        assert freeing.is_used_up
        promised = ATTEMPT_SECONDS + 1.0
        took = seconds_between(released_at, now_ns())
        assert took < promised * GENEROUS
        assert shared.tenures(name)[-1].token == granted.token


def test_an_answer_without_end_does_not_fill_the_memory(shared: ProxiedPods) -> None:
    with checked(shared) as name:
        rule = shared.proxy.rule(FAULTS["a body without end"], "create", "locks", times=3)
        shared.here.acquire(name)
        assert rule.is_used_up
        shared.here.release(name)
        status = Path(f"/proc/{shared.near.worker.pid}/status").read_text()
        peak = int(status.partition("VmHWM:")[2].split()[0])
        assert peak * 1024 < ELECTOR_BYTES_MAX
