"""Somebody else who writes labels and annotations on an object, over and over, as fast as the API server lets it."""

from __future__ import annotations

import http.client
import itertools
import json
import threading
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Final, Self

from tests.cluster.control_plane import ADMIN_TOKEN, ControlPlane
from tests.processes.history import now_ns, seconds_between

_MERGE: Final = "application/merge-patch+json"


class Storm:
    """Patches of one object's metadata, from several connections at once, while the context lasts."""

    def __init__(self, plane: ControlPlane, path: str, *, writers: int = 2) -> None:
        self._plane = plane
        self._path = path
        self._stopping = threading.Event()
        self._threads = [threading.Thread(target=self._write, args=(number,)) for number in range(writers)]
        self._failures: list[Exception] = []
        self._began_at = now_ns()
        self.written = 0

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopping.set()
        for thread in self._threads:
            thread.join()
        if self._failures:
            raise self._failures[0]

    def rate(self) -> float:
        """Writes in each second so far."""
        return self.written / seconds_between(self._began_at, now_ns())

    def _write(self, number: int) -> None:
        connection = http.client.HTTPSConnection("127.0.0.1", self._plane.port, context=self._plane.tls(), timeout=30)
        try:
            for count in itertools.count():
                if self._stopping.is_set():
                    return
                self._patch(connection, _metadata(number, count))
        except Exception as error:  # noqa: BLE001 - it is raised in the test's own thread
            self._failures.append(error)
        finally:
            connection.close()

    def _patch(self, connection: http.client.HTTPSConnection, body: Mapping[str, Any]) -> None:
        headers = {"Authorization": f"Bearer {ADMIN_TOKEN}", "Content-Type": _MERGE}
        connection.request("PATCH", self._path, json.dumps(body), headers)
        answer = connection.getresponse()
        text = answer.read()
        # Between two holds there is no object; under many writers one's patch may be tried too often.
        assert answer.status in {200, 404, 409}, text
        self.written += answer.status == 200


def _metadata(number: int, count: int) -> dict[str, Any]:
    return {"metadata": {"labels": {f"storm-{number}": str(count)}, "annotations": {f"storm-{number}": "*" * 200}}}
