"""A fault between elector and API server lasts longer than the lease: told in time, taken over, and back by itself."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import pytest

from tests.cluster import wire_faults as faults
from tests.cluster.control_plane import ControlPlane
from tests.cluster.fault_proxy import Fault
from tests.cluster.proxied import ProxiedPods, checked, proxied_pods
from tests.cluster.recorder import Recorder
from tests.processes.electors import SHORT
from tests.processes.history import now_ns, seconds_between
from tests.processes.running import GENEROUS, wait_until

TAKEOVER_SECONDS: Final = SHORT.observation_seconds + SHORT.lease_seconds / 5
SLACK_SECONDS: Final = 0.5

FAULTS: Final[dict[str, tuple[Fault, set[str]]]] = {
    "429, Retry-After: 1000000000": (faults.refuse(429, "TooManyRequests", Retry_After="1000000000"), {"api_busy"}),
    "503": (faults.refuse(503, "ServiceUnavailable"), {"api_failing"}),
    "resets": (faults.reset, {"api_silent"}),
    "silence": (faults.stay_silent, {"api_silent"}),
}


@pytest.fixture(scope="module")
def shared(
    request: pytest.FixtureRequest, plane: ControlPlane, recorder: Recorder, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ProxiedPods]:
    with proxied_pods(request, plane, recorder, tmp_path_factory.mktemp("outages"), SHORT) as pods:
        yield pods


@pytest.mark.parametrize("fault", FAULTS)
def test_the_holder_is_told_and_the_next_takes_over(shared: ProxiedPods, fault: str) -> None:
    with checked(shared) as name:
        held = shared.here.acquire(name)
        shared.queue_up_there(name)
        met, codes = FAULTS[fault]
        shared.proxy.rule(met)
        shared.proxy.break_watches()
        told = shared.here.wait_for("told", name=name)
        renewed_at = shared.renewals()[-1].at
        took = seconds_between(renewed_at, told.at)
        shared.measure(f"{fault} for long: the holder is told", took, SHORT.validity_seconds)
        assert took < SHORT.validity_seconds + SLACK_SECONDS * GENEROUS
        # What it says to whoever asks while it lasts.
        found = wait_until(lambda: (said := shared.near.readiness()).code in codes and said, "it says why")
        assert not found.ready
        granted = shared.there.wait_for("ok", what="acquire", name=name)
        assert granted.at > told.at
        assert granted.token > held.token
        took = seconds_between(renewed_at, granted.at)
        shared.measure(f"{fault} for long: the next one holds", took, TAKEOVER_SECONDS)
        assert SHORT.observation_seconds <= took < TAKEOVER_SECONDS + SLACK_SECONDS * GENEROUS
        shared.proxy.clear()
        mended_at = now_ns()
        shared.near.wait_until_ready()
        shared.measure(f"{fault} for long: ready again", seconds_between(mended_at, now_ns()), 2.0)
        shared.there.release(name)
        shared.here.acquire(f"{name} again")
        shared.here.release(f"{name} again")
