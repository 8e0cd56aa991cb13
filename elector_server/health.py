"""What the kubelet and Prometheus ask, on a port of its own.

`/healthz`: the process answers. `/readyz`: the store answered lately. `/metrics`: Prometheus text.
"""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import TYPE_CHECKING, Final

from elector_server.resources.rendering import to_bytes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from falcon.asgi import Request, Response
    from prometheus_client.metrics_core import Metric

    from elector_server.elector import Elector

_TEXT: Final = "text/plain; charset=utf-8"

COUNTERS: Final = {
    "barrier_breaks": "Parties of this elector that were told that their barrier broke.",
    "barrier_passes": "Parties of this elector that passed their barrier.",
    "confirmations": "Holds confirmed after a restart of the elector.",
    "grants": "Locks and permits given to processes of this elector.",
    "hand_offs": "Releases of locks here that made the next waiter the holder.",
    "losses": "Holds that a process was told it has lost.",
    "notifications": "Waiters of conditions that processes of this elector notified.",
    "renewals": "Renewals of the session that succeeded.",
    "sessions": "Sessions begun or adopted.",
    "sessions_deleted": "Old session records deleted by this elector.",
    "sessions_lost": "Sessions of this elector that were lost.",
    "sessions_swept": "Dead sessions ended by this elector.",
    "sets": "How often processes of this elector set an event.",
    "writes": "Writes to the records of locks, semaphores, events, conditions and barriers.",
}
"""Each is shown from the start: of a counter that appears with its first event, Prometheus sees no increase."""


class LivenessResource:
    """The process answers; nothing else is said."""

    async def on_get(self, _req: Request, resp: Response) -> None:
        """Say so."""
        resp.content_type = _TEXT
        resp.data = b"ok\n"


class ReadinessResource:
    """Whether this elector can grant."""

    def __init__(self, elector: Elector) -> None:
        self._elector = elector

    async def on_get(self, _req: Request, resp: Response) -> None:
        """200 or 503, with a stable code and the reason."""
        cause = self._elector.not_ready
        resp.status = HTTPStatus.SERVICE_UNAVAILABLE if cause else HTTPStatus.OK
        code, reason = cause or (None, None)
        resp.data = to_bytes({"ready": cause is None, "code": code, "reason": reason})


class MetricsResource:
    """The elector's counters. prometheus_client costs 60 ms and some memory: it is loaded by whoever asks first."""

    def __init__(self, elector: Elector) -> None:
        self._elector = elector
        self._render: Callable[[], bytes] | None = None

    async def on_get(self, _req: Request, resp: Response) -> None:
        """The text that Prometheus reads."""
        if self._render is None:
            # In a thread, because heartbeats must not wait for an import.
            self._render = await asyncio.to_thread(_renderer, self._elector)
        resp.content_type = "text/plain; version=0.0.4; charset=utf-8"
        resp.data = self._render()


class _ElectorCollector:
    def __init__(self, elector: Elector) -> None:
        self._elector = elector

    def collect(self) -> Iterator[Metric]:
        from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily  # noqa: PLC0415 - see above

        yield GaugeMetricFamily("elector_ready", "Whether this elector can grant.", value=float(self._elector.ready))
        for name, about, counts in (
            ("elector_holds", "Locks and permits that this elector's clients hold now.", self._elector.holds),
            ("elector_waits", "What waits here now: acquisitions, and those at the other kinds.", self._elector.waits),
        ):
            family = GaugeMetricFamily(name, about, labels=["kind"])
            for kind, count in counts.items():
                family.add_metric([kind], count)
            yield family
        for name, about in COUNTERS.items():
            yield CounterMetricFamily(f"elector_{name}", about, value=float(self._elector.counters.get(name, 0)))


def _renderer(elector: Elector) -> Callable[[], bytes]:
    import prometheus_client  # noqa: PLC0415 - see MetricsResource

    registry = prometheus_client.CollectorRegistry(auto_describe=False)
    registry.register(_ElectorCollector(elector))
    prometheus_client.ProcessCollector(registry=registry)
    return lambda: prometheus_client.generate_latest(registry)
