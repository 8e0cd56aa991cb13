"""Who leads: the leader of an election as everybody sees it, what it says about itself, and each change.

Any process may look, whether or not it takes part.

    first look ── tag ──> watching ── 200, 404: a change ──> yielded ──> watching
                              ^ │── 304: no news
                              └─┘── nothing, or "not now": a pause, within the patience
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Self

from metaparticle_sync import _waiting, wire
from metaparticle_sync._address import resolve
from metaparticle_sync._answers import LockSight, Refused
from metaparticle_sync._clock import now
from metaparticle_sync._keeper import Keeper, keeper_of
from metaparticle_sync._looking import look
from metaparticle_sync._waiting import Latch, Patience
from metaparticle_sync.errors import ElectorRefused, ElectorUnavailable

if TYPE_CHECKING:
    from types import TracebackType

    from metaparticle_sync._connections import Connection

_NO_TAG_SECONDS: Final = 1.0
"""From one look to the next at an elector that sends no tags."""

_UNKNOWN: Final = object()


class Leader(NamedTuple):
    """Who leads an election, as the elector's record says. It may be over by the time it is read.

    Attributes:
        name: The name of the election.
        owner: Whose elector it is: the leader's pod, or host and port.
        process: The process that leads, as it named itself: host, process id, program.
        since: When it was elected, by its elector's clock (RFC 3339). For people: compare tokens, not times.
        token: The fencing number of this time in office: larger than that of every leader before.
        metadata: What the leader said about itself.
    """

    name: str
    owner: str
    process: str
    since: str
    token: int
    metadata: dict[str, Any]


Leader.__module__ = "metaparticle_sync"


def leader_of(
    name: str,
    *,
    base_uri: str | None = None,
    unavailable_seconds: float = _waiting.UNAVAILABLE_SECONDS_DEFAULT,
) -> Leader | None:
    """Who leads the election of that name now; None if nobody does.

    For those who only want to know. It is one request, which waits for nobody.

    Raises:
        ElectorUnavailable: that can not be known.
    """
    keeper = keeper_of(resolve(base_uri))
    return leader_seen(keeper, wire.check_name(name), _waiting.checked_unavailable_seconds(unavailable_seconds))


def leader_seen(keeper: Keeper, name: str, unavailable_seconds: float) -> Leader | None:
    """Who leads now.

    Raises:
        ElectorUnavailable: that can not be known.
    """
    path = wire.lock_path(name)
    return leader_in(name, look(keeper, unavailable_seconds, lambda timeout: _first_look(keeper, path, timeout)))


def _first_look(keeper: Keeper, path: str, timeout: float) -> LockSight | None:
    return keeper.sidecar.look_at_lock(path, "", 0, timeout)


def leader_in(name: str, sight: LockSight | None) -> Leader | None:
    """The leader that a look showed."""
    if sight is None or sight.spec is None:
        return None
    spec = sight.spec
    metadata = spec.get("metadata")
    return Leader(
        name=name,
        owner=str(spec.get("owner", "")),
        process=str(spec.get("process", "")),
        since=str(spec.get("acquiredAt", "")),
        token=int(spec["token"]),
        metadata=metadata if isinstance(metadata, dict) else {},
    )


class _InUse(deque["Connection"]):
    """The connection of a look that waits. One that is taken after the end is severed at once."""

    def __init__(self, is_over: Callable[[], bool]) -> None:
        super().__init__(maxlen=1)
        self._is_over = is_over

    def append(self, connection: Connection, /) -> None:
        super().append(connection)
        if self._is_over():
            connection.sever()


class LeaderChanges:
    """Who leads now, and from then on each change: an iterator of `Leader`, or None where nobody leads.

    `next` waits for a change. Changes that come faster than they are asked for may be left out, the last state never
    is. A restart of the elector is no change. If the elector stays away for too long, `next` raises
    `ElectorUnavailable`, and may be called again.

    `close`, from any thread or a signal handler, ends the iteration; so does the end of a `with`, and the `shutdown` of
    the election that gave it. One thread at a time may wait.
    """

    __module__ = "metaparticle_sync"

    def __init__(self, keeper: Keeper, name: str, unavailable_seconds: float) -> None:
        self._keeper = keeper
        self._name = name
        self._path = wire.lock_path(name)
        self._unavailable_seconds = unavailable_seconds
        self._tag = ""
        self._last: object = _UNKNOWN
        self._closed = Latch()
        self._connections: deque[Connection] = _InUse(self._closed.is_set)

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Leader | None:
        patience = Patience(None, self._unavailable_seconds, self._keeper.heard_at)
        while not self._closed.is_set():
            try:
                sight = self._look(patience)
            except ElectorUnavailable as error:
                if not self._closed.is_set():
                    patience.failed(error, self._closed.wait)
                continue
            except Refused as refusal:
                raise _refused(refusal) from None
            patience.answered()
            if sight is not None:
                self._tag = sight.etag
                leader = leader_in(self._name, sight)
                if leader != self._last:
                    self._last = leader
                    return leader
        raise StopIteration

    def close(self) -> None:
        """End the iteration: whoever waits for a change is woken."""
        self._closed.set()
        for connection in list(self._connections):
            connection.sever()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _look(self, patience: Patience) -> LockSight | None:
        """Look, and wait if nothing has changed since the last look; None: nothing has."""
        keeper = self._keeper
        wait_seconds = int(max(1.0, patience.next_wait())) if self._tag else 0
        if not self._tag and self._last is not _UNKNOWN:
            self._closed.wait(_NO_TAG_SECONDS)
        timeout = patience.request_until(wait_seconds) - now()
        keeper.sidecar.watch_requests(self._connections)
        try:
            sight = keeper.sidecar.look_at_lock(self._path, self._tag, wait_seconds, timeout)
        finally:
            keeper.sidecar.watch_requests(None)
            self._connections.clear()  # From here on it serves others.
        keeper.heard_at = now()
        return sight

    def __repr__(self) -> str:
        state = "closed" if self._closed.is_set() else "open"
        return f"<{state} metaparticle_sync.LeaderChanges name={self._name!r}>"


def metadata_terms(metadata: Mapping[str, Any] | None) -> str:
    """The metadata as a further field of an acquisition, in compact JSON; empty if there are none.

    Raises:
        TypeError: they are no mapping of texts to what JSON knows.
        ValueError: they are too long, hold a number that JSON does not know, half a surrogate pair, or themselves.
    """
    if metadata is None:
        return ""
    if not isinstance(metadata, Mapping):
        raise TypeError(f"metadata is a mapping, which becomes a JSON object, not {type(metadata).__name__}")
    for key in metadata:
        if not isinstance(key, str):
            raise TypeError(f"metadata has the key {key!r}: a JSON object's keys are text (str)")
    try:
        text = json.dumps(dict(metadata), ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        text.encode()
    except TypeError as error:
        raise TypeError(f"metadata can not become JSON: {error}") from None
    except (ValueError, RecursionError) as error:
        raise ValueError(f"metadata can not become JSON: {error}") from None
    if len(text) > wire.METADATA_CHARACTERS_MAX:
        most = wire.METADATA_CHARACTERS_MAX
        raise ValueError(f"metadata has at most {most} characters as JSON, this has {len(text)}: keep it elsewhere")
    return f',"metadata":{text}' if metadata else ""


def _refused(refusal: Refused) -> ElectorRefused:
    return ElectorRefused(str(refusal), code=refusal.code, status=refusal.status)
