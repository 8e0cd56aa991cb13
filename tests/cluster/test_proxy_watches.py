"""Watches that hang, end, expire, tear: waiters get their locks, holders keep theirs, and nothing spins."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final

import pytest

from tests.cluster import wire_faults as faults
from tests.cluster.control_plane import ControlPlane
from tests.cluster.fault_proxy import Exchange, Fault
from tests.cluster.namespaces import LOCKS
from tests.cluster.proxied import ProxiedPods, checked, proxied_pods
from tests.cluster.recorder import Recorder
from tests.processes.electors import Leases
from tests.processes.history import now_ns, seconds_between
from tests.processes.running import GENEROUS, wait_until

LEASES: Final = Leases(10.0, 60.0)
POLL_SECONDS: Final = LEASES.lease_seconds / 5
SLACK_SECONDS: Final = 0.3
LOOK_SECONDS: Final = 2.5
"""For how long requests are counted."""

EXPIRED: Final = {"kind": "Status", "code": 410, "reason": "Expired", "message": "too old resource version"}
FAILED: Final = {"kind": "Status", "code": 500, "reason": "InternalError", "message": "etcd leader changed"}

FAULTS: Final[dict[str, Fault]] = {
    "hangs in silence": faults.hang,
    "is never answered": faults.stay_silent,
    "ends at once": faults.stream(),
    "is reset at once": faults.reset,
    "is refused": faults.refuse(403, "Forbidden"),
    "expires: HTTP 410": faults.refuse(410, "Expired"),
    "expires: an ERROR event": faults.stream(faults.event("ERROR", EXPIRED)),
    "fails: an ERROR event": faults.stream(faults.event("ERROR", FAILED)),
    "has a torn line": faults.stream(b'{"type":"MODIFIED","object":{"meta', ends=True),
    "has a line that is no JSON": faults.stream(b'{"type":"MODIFIED",\n', ends=False),
    "has a line that is no event": faults.stream(b'{"kind":"surprise"}\n', ends=False),
    "is not HTTP": faults.send_raw(b"\x00\x01\x02\x03"),
    "is redirected": faults.say(307, Location="https://127.0.0.1:1/"),
    "has an event without end": faults.send_without_end(faults.STREAM_HEAD, faults.chunk(b" " * 2**20)),
}


@pytest.fixture(scope="module")
def shared(
    request: pytest.FixtureRequest, plane: ControlPlane, recorder: Recorder, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ProxiedPods]:
    with proxied_pods(request, plane, recorder, tmp_path_factory.mktemp("watches"), LEASES) as pods:
        yield pods


@pytest.mark.parametrize("fault", FAULTS)
def test_waiters_get_the_lock_by_the_next_poll(shared: ProxiedPods, fault: str) -> None:
    """And the holders of this pod, whose records are watched the same way, hear of nothing."""
    with checked(shared) as name:
        losses = shared.losses()
        shared.here.acquire(f"{name} of ours")
        shared.there.acquire(name)
        rule = shared.proxy.rule(FAULTS[fault], "watch")
        shared.proxy.break_watches()
        shared.queue_up_here(name)
        wait_until(lambda: len(rule.met) >= 2, "both watches met it")
        released_at = now_ns()
        shared.there.do("release", name=name)
        granted = shared.here.wait_for("ok", what="acquire", name=name)
        took = seconds_between(released_at, granted.at)
        shared.measure(f"the watch {fault}: the waiter holds", took, POLL_SECONDS)
        assert took < POLL_SECONDS + SLACK_SECONDS * GENEROUS
        shared.here.wait_for_belief(f"{name} of ours", now_ns())
        assert shared.losses() == losses
        for mine in (name, f"{name} of ours"):
            shared.here.release(mine)


@pytest.mark.parametrize("fault", ["ends at once", "is reset at once", "expires: HTTP 410", "expires: an ERROR event"])
def test_nothing_spins(shared: ProxiedPods, fault: str) -> None:
    """One waiter and one own session: with the growing pauses both ask some ten times, and then twice in a second."""
    with checked(shared) as name:
        shared.there.acquire(name)
        rule = shared.proxy.rule(FAULTS[fault], "watch")
        shared.proxy.break_watches()
        shared.queue_up_here(name)
        wait_until(lambda: rule.met, "it is met")
        begun = len(shared.proxy.seen)
        end_at = rule.met[0].at + int(LOOK_SECONDS * 1e9)
        wait_until(lambda: now_ns() > end_at, "some time has passed")
        asked = shared.proxy.seen[begun:]
        assert 2 < len(asked) < 60
        shared.proxy.clear()
        shared.there.release(name)
        shared.here.wait_for("ok", what="acquire", name=name)
        shared.here.release(name)


def test_a_holder_whose_watch_hangs_hears_of_a_deletion_by_the_next_list(shared: ProxiedPods) -> None:
    with checked(shared) as name:
        held = shared.here.acquire(name)
        rule = shared.proxy.rule(faults.hang, "watch")
        shared.proxy.break_watches()
        wait_until(lambda: rule.met, "it is met")
        shared.exempt(held.token)
        deleted_at = now_ns()
        (stored,) = shared.namespace.locks()
        shared.namespace.plane.request("DELETE", LOCKS.format(shared.namespace.name) + f"/{stored['metadata']['name']}")
        told = shared.here.wait_for("told", name=name, token=held.token)
        took = seconds_between(deleted_at, told.at)
        shared.measure("the watch hangs, the record is deleted: the holder is told", took, LEASES.lease_seconds)
        assert took < LEASES.lease_seconds + SLACK_SECONDS * GENEROUS


def test_events_older_than_what_was_read_change_nothing(shared: ProxiedPods) -> None:
    """A watch that begins with the past: that the lock was free, and that another one held it."""
    with checked(shared) as name:
        losses = shared.losses()
        shared.there.acquire(name)
        (before,) = shared.namespace.locks()
        shared.there.release(name)
        shared.here.acquire(name)
        rule = shared.proxy.rule(repeating(before), "watch", times=1)
        shared.proxy.break_watches()
        wait_until(lambda: rule.is_used_up, "the past is told")
        (now,) = shared.namespace.locks()
        patch = {"metadata": {"labels": {"seen": "by-everybody"}}}
        path = LOCKS.format(shared.namespace.name) + f"/{now['metadata']['name']}"
        shared.namespace.plane.request("PATCH", path, patch, content="application/merge-patch+json")
        shared.here.wait_for_belief(name, now_ns())
        shared.here.release(name)
        assert shared.losses() == losses
        wait_until(lambda: shared.far.is_free(name), "it is free")


def repeating(before: dict[str, Any]) -> Fault:
    """Old events, and then what the API server says."""

    async def fault(exchange: Exchange) -> None:
        async for data in exchange.answer():
            await exchange.send(data)
            if data.startswith(b"HTTP/"):
                old = [faults.event(kind, before) for kind in ("ADDED", "MODIFIED", "DELETED")]
                await exchange.send(b"".join(map(faults.chunk, old)))

    return fault


def test_a_bookmark_is_where_the_next_request_begins(shared: ProxiedPods) -> None:
    with checked(shared):
        version = shared.namespace.plane.request("GET", LOCKS.format(shared.namespace.name))["metadata"][
            "resourceVersion"
        ]
        bookmark = faults.event("BOOKMARK", {"kind": "Lock", "metadata": {"resourceVersion": version}})
        marked = shared.proxy.rule(faults.stream(bookmark), "watch", times=1)
        shared.proxy.break_watches()
        wait_until(lambda: marked.is_used_up, "the bookmark is sent")
        (first,) = marked.met

        def following() -> list[Exchange]:
            same = [one for one in shared.proxy.asked("watch", "locks") if one.at > first.at]
            return [one for one in same if selector(one) == selector(first)]

        (second, *_) = wait_until(following, "the next request")
        assert begins_at(second) == int(version) > begins_at(first)


def selector(watch: Exchange) -> str:
    return re.sub(r"(resourceVersion|timeoutSeconds)=\d+", "", watch.query)


def begins_at(watch: Exchange) -> int:
    return int(watch.query.partition("resourceVersion=")[2].partition("&")[0])
