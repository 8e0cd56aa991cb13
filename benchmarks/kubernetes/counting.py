"""What electors cost their API server, counted where nobody can miss any of it: in etcd, and in the API server.

etcd numbers its writes; a watch from a number on tells every write after it. So writes are not sampled but all there,
those of the API server itself (it renews a lease of its own) told apart by their keys.
"""

from __future__ import annotations

import base64
import http.client
import json
import re
from collections import Counter
from typing import Any, NamedTuple

from tests.cluster.control_plane import ControlPlane

_OURS = "/registry/metaparticle.io/"
_FENCE = "benchmark/fence"
_REQUESTS = re.compile(r"^apiserver_request_total\{(?P<labels>[^}]*)\} (?P<count>\S+)$", re.MULTILINE)
_WATCHES = re.compile(r"^apiserver_longrunning_requests\{(?P<labels>[^}]*)\} (?P<count>\S+)$", re.MULTILINE)
_LABEL = re.compile(r'(\w+)="([^"]*)"')


class Write(NamedTuple):
    """One write of an object of ours. `spec` is None for a removal."""

    revision: int
    plural: str
    name: str
    spec: dict[str, Any] | None


class Counting:
    """Counts from a mark on."""

    def __init__(self, plane: ControlPlane) -> None:
        self._plane = plane

    def revision(self) -> int:
        """etcd's newest revision, made by a write of no importance."""
        answer = self._etcd("/v3/kv/put", {"key": _encoded(_FENCE), "value": ""})
        return int(json.loads(answer.read())["header"]["revision"])

    def writes(self, since: int) -> list[Write]:
        """Every write to locks and sessions after a revision, in order."""
        until = self.revision()
        everything = {"key": _encoded("\0"), "range_end": _encoded("\0"), "start_revision": str(since + 1)}
        answer = self._etcd("/v3/watch", {"create_request": everything})
        found: list[Write] = []
        while True:
            for event in json.loads(answer.readline())["result"].get("events", ()):
                revision, key = int(event["kv"]["mod_revision"]), base64.b64decode(event["kv"]["key"]).decode()
                if key.startswith(_OURS):
                    found.append(_write(revision, key, event))
                if revision >= until:
                    return found

    def requests(self) -> Counter[tuple[str, str]]:
        """How many requests for locks and sessions the API server has answered so far, by resource and verb."""
        found: Counter[tuple[str, str]] = Counter()
        for labels, count in self._metrics(_REQUESTS):
            found[labels["resource"], labels["verb"]] += count
        return found

    def watches(self, plural: str) -> int:
        """How many watches of one resource are open."""
        return sum(count for labels, count in self._metrics(_WATCHES) if labels["resource"] == plural)

    def _metrics(self, pattern: re.Pattern[str]) -> list[tuple[dict[str, str], int]]:
        text = self._plane.request("GET", "/metrics")
        rows = [(dict(_LABEL.findall(row["labels"])), int(float(row["count"]))) for row in pattern.finditer(text)]
        return [(labels, count) for labels, count in rows if labels.get("group") == "metaparticle.io"]

    def _etcd(self, path: str, body: dict[str, Any]) -> http.client.HTTPResponse:
        connection = http.client.HTTPConnection("127.0.0.1", self._plane.etcd_port, timeout=60)
        connection.request("POST", path, json.dumps(body))
        return connection.getresponse()


def _write(revision: int, key: str, event: dict[str, Any]) -> Write:
    plural, _, name = key.removeprefix(_OURS).partition("/")
    spec = None if event.get("type") == "DELETE" else json.loads(base64.b64decode(event["kv"]["value"]))["spec"]
    return Write(revision, plural, name.rpartition("/")[2], spec)


def _encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()
