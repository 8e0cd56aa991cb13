"""Watches of one process: who wants to hear of which changes, and what each of them has not read yet.

A store that makes its changes itself (memory), or reads them from a log (SQLite), hands each change to `Watchers` once,
in the order of versions. That costs a few look-ups whatever the number of open watches. Watches are woken in the order
in which they were opened, so that a seeded simulation replays exactly.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from types import TracebackType
from typing import NamedTuple, Self

from elector_server.store import Change, Record, StoreError, StoreUnavailable, WatchExpired

# What a reader may leave unread before its watch expires. It then reads again, which costs less than so many changes.
UNREAD_LIMIT = 10_000


class Topic(NamedTuple):
    """What one watch wants: one name, one session, or (both None) the whole kind."""

    kind: str
    name: str | None = None
    session: str | None = None

    @classmethod
    def of_watch(cls, kind: str, name: str | None, session: str | None) -> Topic:
        """Check what a watch is asked for."""
        if name is not None and session is not None:
            raise ValueError("a watch is by name or by session, not both")
        return cls(kind, name, session)


class Step(NamedTuple):
    """One write, as a store's history keeps it. `record` is None for a removal.

    `session_before` is the session of the record that was replaced or removed; None where there was none.
    """

    kind: str
    name: str
    version: int
    record: Record | None
    session_before: str | None

    def seen_from(self, topic: Topic) -> Change | None:
        """What a watch of `topic` reports of this step; None if nothing."""
        if self.kind != topic.kind or topic.name not in (None, self.name):
            return None
        if topic.session is None or (self.record is not None and self.record.session == topic.session):
            return Change(self.name, self.version, self.record)
        if self.session_before == topic.session:
            return Change(self.name, self.version, None)
        return None


class ChangeWatch:
    """One watch: a row of unread changes and at most one reader. See `elector_server.store.Watch`.

    States: new -> open -> ended. An ended watch has dropped what was unread, and raises why it ended.
    """

    __slots__ = ("__weakref__", "_close", "_ended", "_open", "_reader", "_unread", "since", "topic")

    def __init__(
        self, topic: Topic, since: int, opening: Callable[[ChangeWatch], None], closing: Callable[[ChangeWatch], None]
    ) -> None:
        self.topic = topic
        self.since = since
        self._open = opening
        self._close = closing
        self._unread: deque[Change] = deque()
        self._reader: asyncio.Future[None] | None = None
        self._ended: StoreError | None = StoreUnavailable("the watch was not opened")

    def __repr__(self) -> str:
        state = "open" if self._ended is None else f"ended: {self._ended}"
        return f"<ChangeWatch {tuple(self.topic)} since {self.since}, {len(self._unread)} unread, {state}>"

    async def __aenter__(self) -> Self:
        self._ended = None
        self._open(self)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end(StoreUnavailable("the watch was closed"))
        self._close(self)

    async def next(self) -> Change:
        """Wait for the next change. Only one task at a time may wait."""
        if self._reader is not None:
            raise RuntimeError("another task waits for this watch already")
        while not self._unread:
            if self._ended is not None:
                raise self._ended
            await self._wait()
        # A change is taken out after the last await: a cancelled call leaves it for the next one.
        return self._unread.popleft()

    async def _wait(self) -> None:
        self._reader = asyncio.get_running_loop().create_future()
        try:
            await self._reader
        finally:
            self._reader = None

    def push(self, change: Change) -> None:
        """Add one change; those that the watch's maker had read already are left out."""
        if self._ended is not None or change.version <= self.since:
            return
        self._unread.append(change)
        if len(self._unread) > UNREAD_LIMIT:
            self.end(WatchExpired(f"more than {UNREAD_LIMIT} changes were left unread"))
        self._wake()

    def end(self, error: StoreError) -> None:
        """End the watch; `next` raises `error` from now on. The first reason stays."""
        if self._ended is None:
            self._ended = error
            self._unread.clear()
            self._wake()

    def _wake(self) -> None:
        if self._reader is not None and not self._reader.done():
            self._reader.set_result(None)


class Watchers:
    """All open watches of one store handle."""

    def __init__(self) -> None:
        # A dict serves as an ordered set: a set of objects would be walked in the order of addresses.
        self._of_topic: dict[Topic, dict[ChangeWatch, None]] = {}
        self.count = 0
        self.count_by_name = 0

    def add(self, watch: ChangeWatch) -> None:
        """Let a watch hear of every step from now on."""
        self._of_topic.setdefault(watch.topic, {})[watch] = None
        self.count += 1
        self.count_by_name += watch.topic.name is not None

    def discard(self, watch: ChangeWatch) -> None:
        """Forget a watch; one that is not known is no error."""
        watches = self._of_topic.get(watch.topic)
        if watches is None or watch not in watches:
            return
        del watches[watch]
        if not watches:
            del self._of_topic[watch.topic]
        self.count -= 1
        self.count_by_name -= watch.topic.name is not None

    def want(self, kind: str, name: str, session: str | None, session_before: str | None) -> bool:
        """Whether anybody hears of such a step: lets a log reader skip the others unread."""
        topics = (Topic(kind, name), Topic(kind), Topic(kind, None, session), Topic(kind, None, session_before))
        return any(topic in self._of_topic for topic in topics)

    def publish(self, step: Step) -> None:
        """Hand one step to all who want it. Steps come in the order of versions."""
        if not self._of_topic:
            return
        kind, name, version, record, before = step
        now = None if record is None else record.session
        change = Change(name, version, record)
        self._push(Topic(kind, name), change)
        self._push(Topic(kind), change)
        if now is not None:
            self._push(Topic(kind, None, now), change)
        if before is not None and before != now:
            self._push(Topic(kind, None, before), Change(name, version, None))

    def end_all(self, error: StoreError) -> None:
        """End every watch with `error` and forget it."""
        for watches in self._of_topic.values():
            for watch in watches:
                watch.end(error)
        self._of_topic.clear()
        self.count = self.count_by_name = 0

    def _push(self, topic: Topic, change: Change) -> None:
        for watch in self._of_topic.get(topic, ()):
            watch.push(change)
