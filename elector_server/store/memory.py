"""The store that keeps its records in this process: `--store memory`, tests, and the simulation.

Every operation is one synchronous step: nothing is awaited before its effect, so each is linearizable, and a cancelled
caller has either done it or not begun. Specs are kept as they are handed over; nobody may change one afterwards.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from operator import attrgetter

from elector_server.store import Change, Conflict, Exists, Listing, Record, Spec, StoreUnavailable, WatchExpired
from elector_server.store.watching import ChangeWatch, Step, Topic, Watchers

HISTORY_LIMIT = 10_000

_name = attrgetter("name")


class MemoryStore:
    """Records in a dict. Versions rise by one with each write, from `first_version` on.

    Whoever wants versions that rise over restarts hands in a `first_version` above all that were given before.
    """

    def __init__(self, first_version: int, *, history_limit: int = HISTORY_LIMIT) -> None:
        self._records: dict[str, dict[str, Record]] = {}
        self._newest = first_version - 1
        self._history: deque[Step] = deque(maxlen=history_limit)
        self._watchers = Watchers()
        self._closed = False

    def __repr__(self) -> str:
        records = sum(map(len, self._records.values()))
        state = ", closed" if self._closed else ""
        return f"<MemoryStore: {records} records, version {self._newest}, {self._watchers.count} watches{state}>"

    async def get(self, kind: str, name: str) -> Record | None:
        """Give the record as it is now: never an old one."""
        return self._of_kind(kind).get(name)

    async def list(self, kind: str, *, session: str | None = None, name: str | None = None) -> Listing:
        """Give the records as they are now, sorted by name."""
        records = self._of_kind(kind)
        found: Iterable[Record] = records.values()
        if name is not None:
            found = (records[name],) if name in records else ()
        wanted = [record for record in found if session is None or record.session == session]
        return Listing(tuple(sorted(wanted, key=_name)), self._newest)

    async def create(self, kind: str, name: str, session: str, spec: Spec) -> Record:
        """Write a record that is not there."""
        records = self._of_kind(kind)
        if name in records:
            raise Exists(f"{kind} {name!r} is there")
        record = records[name] = Record(kind, name, self._newest + 1, session, spec)
        self._wrote(Step(kind, name, record.version, record, None))
        return record

    async def replace(self, kind: str, name: str, version: int, session: str, spec: Spec) -> Record:
        """Write over the record that has `version`."""
        records, old = self._found(kind, name, version)
        record = records[name] = Record(kind, name, self._newest + 1, session, spec)
        self._wrote(Step(kind, name, record.version, record, old.session))
        return record

    async def delete(self, kind: str, name: str, version: int) -> None:
        """Remove the record that has `version`."""
        records, old = self._found(kind, name, version)
        del records[name]
        self._wrote(Step(kind, name, self._newest + 1, None, old.session))

    def watch(self, kind: str, since: int, *, name: str | None = None, session: str | None = None) -> ChangeWatch:
        """Report changes since a version that is not older than the history."""
        topic = Topic.of_watch(kind, name, session)
        return ChangeWatch(topic, since, self._open_watch, self._watchers.discard)

    async def close(self) -> None:
        """End all watches; every later call raises `StoreUnavailable`."""
        self._closed = True
        self._watchers.end_all(StoreUnavailable("the store was closed"))

    def _of_kind(self, kind: str) -> dict[str, Record]:
        if self._closed:
            raise StoreUnavailable("the store was closed")
        return self._records.setdefault(kind, {})

    def _found(self, kind: str, name: str, version: int) -> tuple[dict[str, Record], Record]:
        records = self._of_kind(kind)
        record = records.get(name)
        if record is None:
            raise Conflict(f"{kind} {name!r} is gone")
        if record.version != version:
            raise Conflict(f"{kind} {name!r} has version {record.version}, not {version}")
        return records, record

    def _wrote(self, step: Step) -> None:
        self._newest = step.version
        self._history.append(step)
        self._watchers.publish(step)

    def _open_watch(self, watch: ChangeWatch) -> None:
        if self._closed:
            watch.end(StoreUnavailable("the store was closed"))
        elif not self._newest - len(self._history) <= watch.since <= self._newest:
            watch.end(WatchExpired(f"changes since {watch.since} are not known; the newest is {self._newest}"))
        else:
            for change in self._changes_since(watch.since, watch.topic):
                watch.push(change)
            self._watchers.add(watch)

    def _changes_since(self, since: int, topic: Topic) -> deque[Change]:
        # Nearly every watch starts at the newest version: walking from that end makes opening one free.
        changes: deque[Change] = deque()
        for step in reversed(self._history):
            if step.version <= since:
                break
            change = step.seen_from(topic)
            if change is not None:
                changes.appendleft(change)
        return changes
