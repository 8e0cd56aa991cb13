"""The keeper's thread: it waits on the stream, sends heartbeats, comes back after a break, and tells losses in time.

    no stream ── attach, open it, name it in a heartbeat ──> listening ── tick: heartbeat ──> listening
        ^                                                        │
        └──── it ended, or was silent for two ticks ─────────────┘

Each turn begins with a look at the deadlines, and none waits past the next one. Nothing ends this thread.
"""

from __future__ import annotations

import math
import select
import socket
import sys
from typing import TYPE_CHECKING, Any, Final

from metaparticle_sync import _answers, wire
from metaparticle_sync._answers import Refused
from metaparticle_sync._clock import now
from metaparticle_sync._stream import Stream, StreamEnded
from metaparticle_sync._waiting import Backoff, Latch
from metaparticle_sync.errors import ElectorUnavailable

if TYPE_CHECKING:
    from metaparticle_sync._keeper import Keeper

_REQUEST_SECONDS_MIN: Final = 0.05
_REQUEST_SECONDS_MAX: Final = 5.0
_UNCONFIRMED_SECONDS: Final = 0.2
"""From one question for an undecided hold to the next."""

_DOUBT_SECONDS_MIN: Final = 0.1
"""The shortest time between two heartbeats when the deadline is near."""

_IDLE_BACKOFF_SECONDS_MAX: Final = 5.0
_BACKOFF_SECONDS_MAX: Final = 0.5
_RETIRED_MAX: Final = 8


class Listener:
    """What the thread of one keeper does. `settled` is set when it has tried for the first time to open the stream."""

    def __init__(self, keeper: Keeper) -> None:
        self._keeper = keeper
        self._stream: Stream | None = None
        self._stream_heard_at = -math.inf
        self._retired: list[Stream] = []
        self._heartbeat_due = now() + keeper.tick_seconds
        self._farewell_due = -math.inf
        self._backoff = Backoff()
        self._farewell_backoff = Backoff()
        self._wake_reader, self._wake_writer = socket.socketpair()
        self._wake_reader.setblocking(False)
        self._wake_writer.setblocking(False)
        self.settled = Latch()

    @property
    def address(self) -> str | None:
        """Our end of the stream, if there is one."""
        return self._stream.address if self._stream is not None else None

    def wake(self) -> None:
        """Let the thread look at once. Safe in a signal handler."""
        try:
            self._wake_writer.send(b"!")
        except OSError:
            pass  # It is full: the thread will look anyway.

    def run(self) -> None:
        """The thread. It never ends; whatever goes wrong, it goes on."""
        while True:
            try:
                self._turn()
            except Exception:  # noqa: BLE001 -- a thread that died unseen would let holds lapse untold
                sys.excepthook(*sys.exc_info())
                self._wait(_BACKOFF_SECONDS_MAX)

    def _turn(self) -> None:
        keeper = self._keeper
        keeper.expire()
        if keeper.is_closed:
            self._close_streams()
            self._wait(math.inf)
        elif self._stream is None or not keeper.is_attached:
            self._come_back()
        else:
            self._listen(self._stream)
        self._say_farewell()

    # With a stream --------------------------------------------------------------------------------------------------

    def _listen(self, stream: Stream) -> None:
        due = min(self._heartbeat_due, self._keeper.holds.next_deadline())
        if self._keeper.farewells:
            due = min(due, self._farewell_due)
        if stream.wait(due - now(), self._wake_reader.fileno()):
            try:
                for event in stream.read():
                    self._take_in(event)
                self._stream_heard_at = now()
            except StreamEnded:
                self._drop(stream)
                self._pause()
                return
        self._drain()
        if now() >= self._heartbeat_due:
            self._heartbeat()
        if now() - self._stream_heard_at > 2 * self._keeper.tick_seconds and len(self._retired) < _RETIRED_MAX:
            self._drop(stream)

    def _take_in(self, event: dict[str, Any]) -> None:
        kind = event.get("event")
        if kind == wire.EVENT_LOST:
            try:
                self._keeper.holds.lose_reported([_answers.lost(event)])
            except KeyError:
                pass  # The heartbeat that follows says it again.
        if kind in {wire.EVENT_TICK, wire.EVENT_LOST}:
            self._heartbeat_due = now()
            self._backoff.reset()

    def _heartbeat(self) -> None:
        keeper = self._keeper
        seen = keeper.attachments
        unconfirmed = keeper.holds.has_unconfirmed()
        try:
            if unconfirmed:
                keeper.attach(now() + self._request_seconds(), seen)
            else:
                keeper.heartbeat(self.address, now() + self._request_seconds())
        except ElectorUnavailable:
            self._heartbeat_due = now() + self._backoff.pause_seconds()
        except Refused as refusal:
            if refusal.code == "unknown_client":
                keeper.detached(seen)
            self._heartbeat_due = now() + self._backoff.pause_seconds()
        else:
            self._heartbeat_due = now() + self._period(was_asked=unconfirmed)

    def _period(self, *, was_asked: bool) -> float:
        """How long until the next heartbeat, should no tick come before."""
        keeper = self._keeper
        if keeper.holds.has_unconfirmed():
            return _UNCONFIRMED_SECONDS if was_asked else 0.0
        left = keeper.holds.next_deadline() - now()
        if left < 1.5 * keeper.tick_seconds:
            return max(_DOUBT_SECONDS_MIN, left / 2)
        return 1.25 * keeper.tick_seconds

    def _drop(self, stream: Stream) -> None:
        """This stream is of no more use. It is closed only if the elector has ended it: see `_stream`."""
        self._stream = None
        self._retired = [retired for retired in [*self._retired, stream] if not retired.close_if_ended()]

    def _close_streams(self) -> None:
        """Nothing is believed any more: now they may be closed."""
        streams = [*self._retired, self._stream] if self._stream is not None else self._retired
        self._stream, self._retired = None, []
        for stream in streams:
            stream.close()

    # Without one ----------------------------------------------------------------------------------------------------

    def _come_back(self) -> None:
        keeper = self._keeper
        seen = keeper.attachments
        try:
            if not keeper.is_attached:
                keeper.attach(now() + self._request_seconds())
                self._heartbeat_due = now() + self._period(was_asked=True)
            elif now() >= self._heartbeat_due:
                self._heartbeat()
            if self._stream is None:
                self._stream = keeper.sidecar.open_stream(keeper.client, self._request_seconds(1 / 3))
                self._stream_heard_at = now()
                self._heartbeat()  # It names the stream: from now on its end proves our death.
        except ElectorUnavailable:
            self._pause()
        except Refused as refusal:
            if refusal.code == "unknown_client":
                keeper.detached(seen)
            self._pause()
        finally:
            self.settled.set()

    def _pause(self) -> None:
        self.settled.set()
        most = _BACKOFF_SECONDS_MAX if self._keeper.holds else _IDLE_BACKOFF_SECONDS_MAX
        pause = self._backoff.pause_seconds(most)
        if self._keeper.is_attached:
            pause = min(pause, self._heartbeat_due - now())
        self._wait(pause)

    def _request_seconds(self, share: float = 1.0) -> float:
        """How long a request of this thread may take: never past the moment at which a loss has to be told."""
        left = share * (self._keeper.holds.next_deadline() - now())
        usual = min(_REQUEST_SECONDS_MAX, max(1.0, self._keeper.tick_seconds))
        return max(_REQUEST_SECONDS_MIN, min(usual, left))

    def _say_farewell(self) -> None:
        if not self._keeper.farewells or now() < self._farewell_due:
            return
        try:
            self._keeper.farewells.say_next(self._keeper.sidecar, self._request_seconds())
        except ElectorUnavailable:
            self._farewell_due = now() + self._farewell_backoff.pause_seconds()
        else:
            self._farewell_backoff.reset()
            self._farewell_due = -math.inf

    # Waking ---------------------------------------------------------------------------------------------------------

    def _wait(self, seconds: float) -> None:
        seconds = min(seconds, self._keeper.holds.next_deadline() - now())
        poll = select.poll()
        poll.register(self._wake_reader, select.POLLIN)
        poll.poll(None if seconds == math.inf else max(0.0, seconds) * 1000)
        self._drain()

    def _drain(self) -> None:
        try:
            while self._wake_reader.recv(4096):
                pass
        except BlockingIOError:
            pass
