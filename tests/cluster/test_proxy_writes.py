"""A write meets a fault between elector and API server, for less than the lease: nobody is told, nobody waits long."""

from __future__ import annotations

from collections.abc import Iterator
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
def shared(plane: ControlPlane, recorder: Recorder, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ProxiedPods]:
    with proxied_pods(plane, recorder, tmp_path_factory.mktemp("writes"), LEASES) as pods:
        yield pods


RENEWALS_MEET: Final = [
    "429, Retry-After: 1",
    "429, Retry-After: 1000000000",
    "500",
    "503",
    "504",
    "reset before it is sent on",
    "reset after it took effect",
    "answer cut in its body",
    "answer lost",
    "200, but another JSON",
    "307",
    "a body without end",
    "headers without end",
]


@pytest.mark.parametrize("fault", RENEWALS_MEET)
def test_renewals(shared: ProxiedPods, fault: str) -> None:
    """Two in a row. The holder keeps its hold, and hears of nothing."""
    with checked(shared) as name:
        shared.here.acquire(name)
        losses, renewals = shared.losses(), len(shared.renewals())
        rule = shared.proxy.rule(FAULTS[fault], "update", "sessions", times=2)
        wait_until(lambda: rule.is_used_up, "two renewals failed")
        renewed = wait_until(
            lambda: [one for one in shared.renewals()[renewals:] if one not in rule.met], "the session is renewed"
        )
        took = seconds_between(rule.met[0].at, renewed[0].at)
        shared.measure(f"two renewals meet: {fault}", took, LEASES.validity_seconds)
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
        took = shared.measure(f"acquire meets: {fault}", seconds_between(begun, held.at), promised)
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
        took = shared.measure(f"hand-off meets: {fault}", seconds_between(released_at, granted.at), promised)
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
        took = shared.measure(f"release meets: {fault}", seconds_between(released_at, now_ns()), promised)
        assert took < promised * GENEROUS
        assert shared.tenures(name)[-1].token == granted.token
