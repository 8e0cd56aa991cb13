"""The API server as bare http.client sees it, with the electors' rights: what everything is compared with."""

from __future__ import annotations

import http.client
import json
import time
from typing import Any

from elector_server.rules.lock import KIND
from elector_server.store.kubernetes_objects import to_object
from tests.cluster.namespaces import LOCKS, Namespace

SPEC = {
    "holder": "0" * 32,
    "session": "pod-0." + "0" * 32,
    "epoch": 1,
    "client": "0" * 32,
    "owner": "pod-0",
    "process": "benchmark",
    "lease_seconds": 20.0,
    "acquired_at": "2026-01-01T00:00:00Z",
}


class RawApi:
    """One kept connection over TLS, and one object that it writes again and again."""

    def __init__(self, namespace: Namespace, name: str = "raw") -> None:
        self._namespace = namespace
        self.name = name
        self.path = f"{LOCKS.format(namespace.name)}/{name}"
        self.headers = {"Authorization": f"Bearer {namespace.token}", "Content-Type": "application/json"}
        self._connection = self.connect()
        stored = namespace.plane.request("POST", LOCKS.format(namespace.name), to_object(KIND, name, "s", SPEC))
        self.version = int(stored["metadata"]["resourceVersion"])
        self._changes: http.client.HTTPResponse | None = None

    def connect(self) -> http.client.HTTPSConnection:
        """A connection of its own."""
        plane = self._namespace.plane
        return http.client.HTTPSConnection("127.0.0.1", plane.port, context=plane.tls(), timeout=120)

    def body(self) -> bytes:
        """What a PUT sends: a lock that somebody holds."""
        return json.dumps(to_object(KIND, self.name, "s", SPEC, self.version)).encode()

    def put(self) -> None:
        """One conditional write and its answer."""
        self._connection.request("PUT", self.path, self.body(), self.headers)
        self._take_answer()

    def put_until_event(self) -> float:
        """The seconds from sending a write to reading the event of it on a watch."""
        changes = self._changes = self._changes or self.watch(f"&fieldSelector=metadata.name%3D{self.name}")
        epoch = SPEC["epoch"] = int(str(SPEC["epoch"])) + 1  # A write that changes nothing has no event.
        started_at = time.perf_counter()
        self._connection.request("PUT", self.path, self.body(), self.headers)
        event = json.loads(changes.readline())
        seconds = time.perf_counter() - started_at
        self._take_answer()
        if event["object"]["spec"]["epoch"] != epoch:
            raise RuntimeError("the watch is behind")
        return seconds

    def watch(self, selector: str = "") -> http.client.HTTPResponse:
        """A watch of the namespace's locks, from now on, without bookmarks."""
        connection = self.connect()
        since = self._namespace.plane.request("GET", LOCKS.format(self._namespace.name))["metadata"]["resourceVersion"]
        path = f"{LOCKS.format(self._namespace.name)}?watch=1&resourceVersion={since}{selector}"
        connection.request("GET", path, headers=self.headers)
        return connection.getresponse()

    def _take_answer(self) -> None:
        answer = self._connection.getresponse()
        self.written(answer.status, json.loads(answer.read()))

    def written(self, status: int, body: dict[str, Any]) -> None:
        """Note the version that a write has made."""
        if status != 200:
            raise RuntimeError(f"{status}: {body}")
        self.version = int(body["metadata"]["resourceVersion"])
