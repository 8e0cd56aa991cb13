"""Watches of the API server: one stream for each topic, shared, kept for a moment after its last reader left.

    stream:  connecting ──> following ── ended by the server in time ──> connecting (from the last version seen)
                               ├── 410, as status or as event ──> its readers: WatchExpired
                               └── broken, refused ─────────────> its readers: StoreUnavailable

* A stream begins at a version and remembers what it reported since. A reader that begins earlier gets a stream of its
  own, one that begins later is given what it has not read.
* Each stream is a connection. So there are at most `NAMED_STREAMS_MAX` streams of single names, over all kinds; whoever
  comes after them shares one of the whole kind, and costs nothing more.
* Each request ends after less than a minute, by the server's clock or, should it hang in silence, by ours. Bookmarks
  keep the version fresh from which the next one begins.
* A deleted object's event has the version of the deletion; so has that of an object which left the watched label.
"""

from __future__ import annotations

import asyncio
import json
import random
from collections import deque
from collections.abc import Callable
from http import HTTPStatus
from typing import Any, Final, NamedTuple
from urllib.parse import quote

from elector_server.store import Change, Record, StoreError, StoreUnavailable, WatchExpired
from elector_server.store.kubernetes_api import Api
from elector_server.store.kubernetes_errors import Operation, Status, not_answered, not_sent, refusal
from elector_server.store.kubernetes_http import NotAnswered, NotSent
from elector_server.store.kubernetes_names import label_value, object_name
from elector_server.store.kubernetes_objects import SESSION_LABEL, name_of, to_record, version_of
from elector_server.store.watching import ChangeWatch, Topic

NAMED_STREAMS_MAX: Final = 32
"""Streams of single names, of those that are read and those that linger together."""

LINGER_SECONDS: Final = 5.0
"""How long a stream goes on without a reader: waiting for one lock again and again costs one connection."""

REQUEST_SECONDS: Final = (40, 55)
"""For how long the server is asked to answer one request; random, so that not all come back at once."""

SILENCE_SECONDS: Final = 5.0
"""How much later than asked for a request may end."""

REMEMBERED: Final = 1_000

LINE_BYTES_MAX: Final = 16 * 1024 * 1024
"""More than one event can have: etcd takes no object of more than 1.5 MiB."""

QUICK_SECONDS: Final = 1.0
"""A request that ends sooner and brings nothing is followed by a pause, and each further one by a longer one."""

PAUSE_SECONDS: Final = (0.05, 2.0)

_Collection = Callable[[str], tuple[str, Operation]]
_ToRecord = Callable[[str, dict[str, Any], str | None], Record | None]


class Streams:
    """All streams of one store handle.

    Args:
        api: the API server.
        collection: the path of a kind, and the operation of watching it, for messages.
        read: makes a record of an object.
    """

    def __init__(self, api: Api, collection: _Collection, read: _ToRecord = to_record) -> None:
        self._api = api
        self._collection = collection
        self._read = read
        self._of_topic: dict[Topic, Stream] = {}
        self._all: set[Stream] = set()
        self._stream_of: dict[ChangeWatch, Stream] = {}

    @property
    def watches(self) -> int:
        """How many watches are open."""
        return len(self._stream_of)

    @property
    def count(self) -> int:
        """How many streams run."""
        return len(self._all)

    def open(self, watch: ChangeWatch) -> None:
        """Let a watch hear of everything after its version."""
        if watch.since <= 0:
            watch.end(WatchExpired("a watch begins at a version that was read"))
            return
        topic = self._topic_to_follow(watch.topic)
        stream = self._of_topic.get(topic)
        if stream is None or not stream.reaches_back_to(watch.since):
            if stream is not None and topic != watch.topic:
                watch.end(WatchExpired(f"the changes since {watch.since} are not known any more"))
                return
            stream = self._start(topic, watch.since)
        self._stream_of[watch] = stream
        stream.add(watch)

    def discard(self, watch: ChangeWatch) -> None:
        """Forget a watch; one that is not known is no error."""
        stream = self._stream_of.pop(watch, None)
        if stream is not None:
            stream.remove(watch)

    def end_all(self, error: StoreError) -> list[asyncio.Task[None]]:
        """End every watch with `error`. Gives the tasks that still have to end."""
        tasks = [stream.task for stream in self._all if stream.task is not None]
        for stream in list(self._all):
            stream.end(error)
        return tasks

    def _topic_to_follow(self, topic: Topic) -> Topic:
        if topic.name is None or topic in self._of_topic:
            return topic
        named = [stream for stream in self._all if stream.topic.name is not None]
        if len(named) < NAMED_STREAMS_MAX:
            return topic
        unread = next((stream for stream in named if not stream.readers), None)
        if unread is None:
            return Topic(topic.kind)
        unread.end(StoreUnavailable("nobody reads it"))
        return topic

    def _start(self, topic: Topic, since: int) -> Stream:
        path, operation = self._collection(topic.kind)
        source = _Source(topic, path, operation, self._read)
        stream = self._of_topic[topic] = Stream(self._api, source, since, self._ended)
        self._all.add(stream)
        return stream

    def _ended(self, stream: Stream) -> None:
        self._all.discard(stream)
        if self._of_topic.get(stream.topic) is stream:
            del self._of_topic[stream.topic]
        for watch in [watch for watch, its in self._stream_of.items() if its is stream]:
            del self._stream_of[watch]


class _Source(NamedTuple):
    """What a stream reads."""

    topic: Topic
    path: str
    operation: Operation
    read: _ToRecord

    def request(self, since: int, seconds: int) -> str:
        selector = ""
        if self.topic.name is not None:
            selector = "&fieldSelector=" + quote(f"metadata.name={object_name(self.topic.name)}", safe="")
        elif self.topic.session is not None:
            selector = "&labelSelector=" + quote(f"{SESSION_LABEL}={label_value(self.topic.session)}", safe="")
        return (
            f"{self.path}?watch=1&allowWatchBookmarks=true&resourceVersion={since}&timeoutSeconds={seconds}{selector}"
        )


class Stream:
    """One row of changes from the server, and those who read it."""

    def __init__(self, api: Api, source: _Source, since: int, ended: Callable[[Stream], None]) -> None:
        self._api = api
        self._source = source
        self._begins_after = since
        self._newest = since
        self._history: deque[Change] = deque()
        self._text = b""
        self._failure: StoreError | None = None
        self._report_end = ended
        self._lingering: asyncio.TimerHandle | None = None
        self.readers: dict[ChangeWatch, None] = {}
        self.topic = source.topic
        self.task: asyncio.Task[None] | None = asyncio.get_running_loop().create_task(self._run())

    def reaches_back_to(self, since: int) -> bool:
        """Whether everything after `since` is remembered here, or still to come."""
        return since >= self._begins_after

    def add(self, watch: ChangeWatch) -> None:
        """Let a watch read along, from the version that it knows."""
        if self._lingering is not None:
            self._lingering.cancel()
            self._lingering = None
        self.readers[watch] = None
        for change in self._history:
            if watch.topic.name in {None, change.name}:
                watch.push(change)

    def remove(self, watch: ChangeWatch) -> None:
        """A watch reads no more."""
        self.readers.pop(watch, None)
        if not self.readers and self._lingering is None and self.task is not None:
            loop = asyncio.get_running_loop()
            self._lingering = loop.call_later(LINGER_SECONDS, self.end, StoreUnavailable("nobody reads it"))

    def end(self, error: StoreError) -> None:
        """Stop reading; all who read are told why."""
        if self._lingering is not None:
            self._lingering.cancel()
        if self.task is not None:
            self.task.cancel()
            self.task = None
        self._report_end(self)
        for watch in list(self.readers):
            watch.end(error)
        self.readers.clear()

    async def _run(self) -> None:
        clock = asyncio.get_running_loop().time
        least, most = PAUSE_SECONDS
        pause = least
        try:
            while True:
                begun_at, before = clock(), self._newest
                await self._follow_one_request()
                if self._newest > before or clock() - begun_at > QUICK_SECONDS:
                    pause = least
                else:
                    await asyncio.sleep(pause * random.uniform(0.5, 1.0))
                    pause = min(2 * pause, most)
        except StoreError as error:
            self._end_itself(error)
        except Exception as error:  # noqa: BLE001 - its readers must not wait for ever, whatever it was
            self._end_itself(StoreUnavailable(f"the watch failed: {type(error).__name__}: {error}"))

    def _end_itself(self, error: StoreError) -> None:
        self.task = None
        self.end(error)

    async def _follow_one_request(self) -> None:
        seconds = random.randint(*REQUEST_SECONDS)
        self._text, before = b"", self._newest
        try:
            answer = await self._api.stream(
                self._source.request(self._newest, seconds), seconds + SILENCE_SECONDS, self._take
            )
        except NotSent as error:
            raise not_sent("its address", error) from error
        except NotAnswered as error:
            # Broken after it brought something: go on from there. Nothing is lost, and an error would come next.
            if self._failure is None and self._newest > before:
                return
            raise self._failure or not_answered(self._source.operation, error) from error
        if answer.status != HTTPStatus.OK:
            raise _error(self._source.operation, Status.of(answer))
        if self._failure is not None:
            raise self._failure

    def _take(self, data: bytes) -> None:
        """Bytes of the answer: events, one in each line. Raises ValueError if they are not that."""
        *lines, self._text = (self._text + data).split(b"\n")
        if len(self._text) > LINE_BYTES_MAX:
            raise ValueError("one event has no end")
        for line in lines:
            if line and self._failure is None:
                self._take_event(json.loads(line))

    def _take_event(self, event: dict[str, Any]) -> None:
        stored = event["object"]
        if event["type"] == "ERROR":
            self._failure = _error(self._source.operation, Status.of_object(stored, 500))
            raise ValueError("the server ends the watch with an error")
        version = version_of(stored)
        if version <= self._newest:
            return
        self._newest = version
        if event["type"] != "BOOKMARK":
            self._take_change(event["type"], stored, version)

    def _take_change(self, event_type: str, stored: dict[str, Any], version: int) -> None:
        name = self.topic.name if self.topic.name is not None else name_of(stored)
        if name is None:
            return
        record: Record | None = None
        if event_type != "DELETED":
            record = self._source.read(self.topic.kind, stored, name)
        change = Change(name, version, record)
        self._remember(change)
        for watch in self.readers:
            if watch.topic.name in {None, name}:
                watch.push(change)

    def _remember(self, change: Change) -> None:
        self._history.append(change)
        if len(self._history) > REMEMBERED:
            self._begins_after = self._history.popleft().version


def _error(operation: Operation, status: Status) -> StoreError:
    if status.code == HTTPStatus.GONE or status.reason == "Expired":
        return WatchExpired(status.message)
    return refusal(operation, status)
