"""The truth about holders and tokens: every write of etcd from its first revision, read past API server and elector.

A thread follows an etcd watch over its JSON gateway. It starts at revision 1, and after a break goes on behind the last
revision that it has: etcd keeps all of them, because the API server of the tests never compacts. So nothing is missed,
whatever is killed, and a recorder that starts late knows as much as one that was there (only not since when).
"""

from __future__ import annotations

import base64
import contextlib
import http.client
import json
import socket
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Final, Self

from elector_server.store.kubernetes_objects import PLURALS
from tests.processes.checker import Write
from tests.processes.history import now_ns
from tests.processes.running import wait_until

PREFIX: Final = "/registry/metaparticle.io/"
KINDS: Final = {plural: kind for kind, plural in PLURALS.items()}

_MARK: Final = PREFIX + "recorder"
"""A key beside those of the API server. Whoever sees it knows that all earlier writes were seen."""

_RETRY_SECONDS: Final = 0.02


@dataclass(frozen=True, slots=True)
class StoredWrite:
    """One write as etcd has it.

    Attributes:
        revision: its number, which is also the object's resourceVersion.
        created: the revision of the object's first write; that of a deletion is 0.
        kind: lock, session, or one of the others.
        namespace: where the object is.
        key: the object's name.
        stored: the object; None if it was deleted.
        seen_at: when the recorder had it, hence a moment after the write.
    """

    revision: int
    created: int
    kind: str
    namespace: str
    key: str
    stored: Mapping[str, Any] | None = field(repr=False)
    seen_at: int

    @property
    def spec(self) -> Mapping[str, Any]:
        """What the object says; empty if it was deleted."""
        return self.stored["spec"] if self.stored is not None else {}


@dataclass(frozen=True, slots=True)
class Tenure:
    """One hold as the store had it, from the write that gave it to the one that took it away."""

    name: str
    token: int
    holder: str
    session: str
    epoch: int
    revision: int
    seen_at: int
    ended: StoredWrite | None


class Recorder:
    """Follows all records of one etcd."""

    def __init__(self, etcd_port: int) -> None:
        self._port = etcd_port
        self._writes: list[StoredWrite] = []
        self._seen_revision = 0
        self._stopping = threading.Event()
        self._connection: http.client.HTTPConnection | None = None
        self._thread = threading.Thread(target=self._run, name="recorder")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopping.set()
        while self._thread.is_alive():  # It may be about to connect, so once is not enough.
            self._break()
            self._thread.join(_RETRY_SECONDS)

    def seen(self, namespace: str) -> list[StoredWrite]:
        """The writes of a namespace that have been seen by now."""
        return [write for write in self._writes if write.namespace == namespace]

    def writes(self, namespace: str) -> list[StoredWrite]:
        """All writes of a namespace until now. Waits for an etcd that was just started."""
        marks: list[int] = []

        def is_marked() -> bool:
            with contextlib.suppress(ConnectionError):  # An API server may be ready sooner than its etcd listens again.
                marks.append(self._put_mark())
            return bool(marks)

        wait_until(is_marked, "etcd listens")
        revision = marks[0]
        wait_until(lambda: self._seen_revision >= revision, f"the recorder has seen revision {revision}")
        return self.seen(namespace)

    def _put_mark(self) -> int:
        """Write the mark; the revision of that."""
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=10)
        with contextlib.closing(connection):
            body = {"key": _base64(_MARK), "value": _base64(str(now_ns()))}
            connection.request("POST", "/v3/kv/put", json.dumps(body))
            answer = json.loads(connection.getresponse().read())
        return int(answer["header"]["revision"])

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                self._follow()
            except (OSError, http.client.HTTPException, ValueError):
                self._stopping.wait(_RETRY_SECONDS)  # etcd is away, or was killed in the middle of a line.

    def _follow(self) -> None:
        connection = self._connection = http.client.HTTPConnection("127.0.0.1", self._port)
        with contextlib.closing(connection):
            connection.request("POST", "/v3/watch", json.dumps(_request(self._seen_revision + 1)))
            response = connection.getresponse()
            while not self._stopping.is_set() and (line := response.readline()):
                self._take(json.loads(line))

    def _break(self) -> None:
        """End a read that may wait for ever."""
        connection = self._connection
        if connection is not None and connection.sock is not None:
            with contextlib.suppress(OSError):
                connection.sock.shutdown(socket.SHUT_RDWR)

    def _take(self, message: Mapping[str, Any]) -> None:
        result = message["result"]
        assert not result.get("canceled"), f"the history is gone: {result}"
        seen_at = now_ns()
        for event in result.get("events", ()):
            write = _to_write(event, seen_at)
            if write is not None:
                self._writes.append(write)
            self._seen_revision = int(event["kv"]["mod_revision"])


def _request(revision: int) -> dict[str, Any]:
    end = PREFIX[:-1] + chr(ord(PREFIX[-1]) + 1)
    # Without fragments a message has whole revisions only, so one can go on behind the last of them.
    watched = {"key": _base64(PREFIX), "range_end": _base64(end), "start_revision": str(revision)}
    return {"create_request": watched}


def _to_write(event: Mapping[str, Any], seen_at: int) -> StoredWrite | None:
    """None if it is none of a record."""
    key = base64.b64decode(event["kv"]["key"]).decode()
    parts = key.removeprefix(PREFIX).split("/")
    if parts[0] not in KINDS:
        return None
    plural, namespace, name = parts
    deleted = event.get("type") == "DELETE"
    stored = None if deleted else json.loads(base64.b64decode(event["kv"]["value"]))
    revision, created = int(event["kv"]["mod_revision"]), int(event["kv"].get("create_revision", 0))
    return StoredWrite(revision, created, KINDS[plural], namespace, name, stored, seen_at)


def _base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def log_of(writes: Sequence[StoredWrite]) -> list[Write]:
    """The writes in the terms of the common checker: by the name that the user typed, each lock with its token."""
    tokens: dict[str, tuple[tuple[str, str], int]] = {}
    return [Write(write.revision, write.kind, name, _spec(write, tokens)) for write, name in _named(writes)]


def _named(writes: Sequence[StoredWrite]) -> Iterator[tuple[StoredWrite, str]]:
    """A deletion shows no record, so its name is that of the record before."""
    names: dict[tuple[str, str], str] = {}
    for write in writes:
        key = write.kind, write.key
        name = names[key] = write.spec.get("name", names.get(key, write.key))
        yield write, name


def _spec(write: StoredWrite, tokens: dict[str, tuple[tuple[str, str], int]]) -> dict[str, Any] | None:
    """The record with its hold's token, and all that a hold is in the place of the holder.

    A waiter whose session ended goes on to wait with its holder id under another session: that is another hold.
    `tokens` has the last hold of each name, and its token.
    """
    hold = _hold(write)
    if hold is None or write.kind != "lock":
        return None if hold is None else dict(write.spec)
    token = _token(write)
    before = tokens.get(write.key)
    # Who queues behind a hold whose record somebody labelled can not know its token, and writes down the version that
    # it has read. That is too large, but below every later one; the holder knows better.
    if before is not None and before[0] == hold and before[1] < token < write.revision and before[1] == write.created:
        token = before[1]
    tokens[write.key] = hold, token
    return dict(write.spec) | {"token": str(token), "holder": "/".join(hold)}


def _token(write: StoredWrite) -> int:
    """A record without a token has the revision of its first write for one, whoever added a label since."""
    return int(write.spec.get("token", write.created))


def tenures(writes: Sequence[StoredWrite]) -> list[Tenure]:
    """Every hold that the store ever gave, by its first write."""
    found: list[Tenure] = []
    standing: dict[str, tuple[StoredWrite, str]] = {}
    for write, name in _named(writes):
        if write.kind != "lock":
            continue
        before = standing.get(write.key)
        if before is not None and _hold(before[0]) == _hold(write):
            continue
        if before is not None:
            found.append(_tenure(*before, write))
            del standing[write.key]
        if write.stored is not None:
            standing[write.key] = write, name
    found.extend(_tenure(*before, None) for before in standing.values())
    return sorted(found, key=lambda tenure: tenure.revision)


def _hold(write: StoredWrite) -> tuple[str, str] | None:
    """Who holds, and by which session. The epoch rises within a hold, when a restarted elector confirms it."""
    return (write.spec.get("holder", ""), write.spec.get("session", "")) if write.stored is not None else None


def _tenure(begun: StoredWrite, name: str, ended: StoredWrite | None) -> Tenure:
    spec = begun.spec
    holder, session, epoch = spec.get("holder", ""), spec.get("session", ""), spec.get("epoch", 0)
    return Tenure(name, _token(begun), holder, session, epoch, begun.revision, begun.seen_at, ended)
