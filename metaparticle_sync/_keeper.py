"""Who this process is for one elector, what it holds there, and the one thread that keeps it alive.

    unknown ── open the session ──> attached ── stream open: ticks drive heartbeats ──> kept
       ^                                │                                                 │
       └──────── the elector restarted, or forgot us ─────────────────────────────────────┘
    and whatever happens: a hold whose deadline passes is lost, and told.

There is one keeper per process and elector, hence almost always exactly one. Its thread starts at the first acquire
and never stops. Threads that acquire and release talk to the elector themselves; they never wait for the keeper's.
All calls that open or keep the session go one at a time, so that the elector hears of our streams in order.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from time import sleep
from typing import TYPE_CHECKING, Final

from metaparticle_sync import _process, wire
from metaparticle_sync._address import Address
from metaparticle_sync._answers import Refused, SessionStatus
from metaparticle_sync._clock import now
from metaparticle_sync._farewells import Farewell, Farewells, Sayable
from metaparticle_sync._holds import Hold, Holds, SharedLock
from metaparticle_sync._waiting import Backoff, NotReady
from metaparticle_sync.errors import ElectorRefused, ElectorUnavailable, NotHeld, SyncError

if TYPE_CHECKING:
    from metaparticle_sync._listener import Listener
    from metaparticle_sync._sidecar import Sidecar

RELEASE_SECONDS: Final = 1.0
"""How long a release tries before it leaves the rest to the keeper."""

_LOOK_SECONDS: Final = 0.9
"""For a look at who holds a lock."""

_EXIT_SECONDS: Final = 0.5
"""For the last word at the end of the process."""

_SETTLE_SECONDS: Final = 1.0
"""How long the first acquire waits until the stream stands."""

_REQUEST_SECONDS_MIN: Final = 0.05
_PRESENTED_BYTES_MAX: Final = wire.BODY_BYTES_MAX // 2


class Keeper:
    """This process as one elector's client."""

    def __init__(self, address: Address) -> None:
        self.address = address
        self.holds = Holds()
        self._begin()

    def _begin(self) -> None:
        self._sidecar: Sidecar | None = None
        # RLocks, because a signal handler may come in the midst of it, in the same thread.
        self._making = threading.RLock()
        self._session_mutex = threading.RLock()
        self.client = wire.new_id()
        self.heard_at: float | None = None
        self.is_attached = False
        self.attachments = 0
        self.tick_seconds = 1.0
        self.farewells = Farewells()
        self.listener: Listener | None = None
        self._acknowledged: set[str] = set()
        self.is_closed = False
        self._is_maker = False

    def after_fork_in_parent(self) -> None:
        """The child may use what this process made without a name."""
        if self._is_maker and not self.is_attached:
            self._be_known()

    def after_fork_in_child(self) -> None:
        """Hold nothing and know nobody: the child is another client, if it ever becomes one."""
        self.holds.forget_all()
        self._begin()

    def close(self) -> None:
        """At the end of the process: believe nothing any more, then say so."""
        self.holds.close()
        self.is_closed = True
        if self.is_attached:
            self.is_attached = False
            try:
                self.sidecar.close_session(self.client, _EXIT_SECONDS)
            except (SyncError, Refused):
                pass  # It learns it from the end of our stream.
        if self._sidecar is not None:
            self._sidecar.close()
        self.wake()

    def name_of(self, name: str | None) -> str:
        """The name, if it is one; else a fresh one that says who made it, for it goes when nobody has it any more."""
        if name is not None:
            return wire.check_name(name)
        self._is_maker = True
        return f"unnamed-{self.client}-{wire.new_id()}"

    def hand_on(self, name: str) -> None:
        """Another process may soon use this. If it has no name, and was made here, the elector has to know of us.

        What has no name goes when nobody is left who knows it; and nobody counts whom the elector never heard of.
        """
        if not self.is_attached and name.startswith(f"unnamed-{self.client}-"):
            self._be_known()

    def _be_known(self) -> None:
        """Have the keeper's thread attach, now or whenever it can."""
        self._made_sidecar()  # Here, not there: a thread must not be in the midst of an import when this one forks.
        try:
            self._started_listener().wake()
        except RuntimeError:
            pass  # No thread can be started at the end of the process.

    @property
    def sidecar(self) -> Sidecar:
        """The elector."""
        return self._sidecar or self._made_sidecar()

    def _made_sidecar(self) -> Sidecar:
        from metaparticle_sync._sidecar import Sidecar  # noqa: PLC0415 -- imports requests

        with self._making:
            if self._sidecar is None:
                self._sidecar = Sidecar(self.address)
            return self._sidecar

    # The session ----------------------------------------------------------------------------------------------------

    def attach(self, until: float, seen: int | None = None) -> None:
        """Open or re-open the session, unless somebody has done so since `seen` attachments.

        Raises:
            ElectorUnavailable, Refused: it did not work.
        """
        with self._one_at_a_time(until):
            if self.is_attached and seen != self.attachments:
                return
            self._open_session(until)
            is_first = self.listener is None
            listener = self._started_listener()
        if is_first:
            # From the moment it names its stream our death would be noticed at once.
            listener.settled.wait(min(_SETTLE_SECONDS, max(0.0, until - now())))
        else:
            listener.wake()

    def _open_session(self, until: float) -> None:
        presented = self._presented()
        stream = self.listener.address if self.listener is not None else None
        status = self.sidecar.open_session(self.client, _process.description(), presented, stream, _left(until))
        self._take_in(status)
        self.holds.confirm(status.held)
        self.is_attached = True
        self.is_closed = False
        self.attachments += 1

    def _presented(self) -> list[dict[str, str]]:
        """What we say that we hold: as much as one body takes, and first of all what is not confirmed."""
        presented: list[dict[str, str]] = []
        characters = 0
        for hold in self.holds.unconfirmed_first():
            shared = hold.shared
            entry = {"kind": shared.kind, "name": shared.name, "holder": hold.holder, "token": str(hold.token)}
            if hold.term.incarnation:
                entry["incarnation"] = hold.term.incarnation
            characters += len(json.dumps(entry))
            if characters > _PRESENTED_BYTES_MAX or len(presented) >= wire.HOLDS_MAX:
                break
            presented.append(entry)
        return presented

    def heartbeat(self, stream: str | None, until: float) -> None:
        """Say that we live.

        Raises:
            ElectorUnavailable, Refused: it did not work.
        """
        with self._one_at_a_time(until):
            acknowledged = list(self._acknowledged)
            status = self.sidecar.heartbeat(self.client, acknowledged, stream, _left(until))
            self._acknowledged.difference_update(acknowledged)
            self._take_in(status)

    @contextmanager
    def _one_at_a_time(self, until: float) -> Iterator[None]:
        if not self._session_mutex.acquire(timeout=max(0.0, until - now())):
            raise ElectorUnavailable(f"the elector at {self.address.url} does not answer", address=self.address.url)
        try:
            yield
        finally:
            self._session_mutex.release()

    def _take_in(self, status: SessionStatus) -> None:
        if not status.incarnation:
            raise NotReady(f"the elector at {self.address.url} is {status.not_ready}", address=self.address.url)
        self.heard_at = at = now()
        self.tick_seconds = status.tick_seconds
        self.holds.lose_reported(status.lost)
        self._acknowledged.update(report.holder for report in status.lost)
        self.holds.extend(status.incarnation, status.valid_until, at)

    def detached(self, seen: int) -> None:
        """The elector does not know us (any more), unless somebody has attached again since `seen` attachments."""
        if seen == self.attachments:
            self.is_attached = False

    def _started_listener(self) -> Listener:
        with self._making:
            return self.listener or self._start_listener()

    def _start_listener(self) -> Listener:
        from metaparticle_sync._listener import Listener  # noqa: PLC0415 -- imports http.client

        listener = self.listener = Listener(self)
        try:
            threading.Thread(target=listener.run, name="metaparticle_sync keeper", daemon=True).start()
        except BaseException:
            self.listener = None
            raise
        return listener

    # Holds ----------------------------------------------------------------------------------------------------------

    def confirm(self, until: float) -> None:
        """Ask for our holds, because one is not certain: the elector changed, or our deadline passed meanwhile."""
        try:
            self.attach(until, seen=self.attachments)
        except (ElectorUnavailable, Refused):
            self.wake()

    def release(self, shared: SharedLock) -> None:
        """Release what this process holds of that lock; what can not be done in a second, the keeper goes on with.

        Raises:
            LockLost: it was lost before.
            NotHeld: it is free, or held by another process.
        """
        hold = self.holds.drop(shared, now())
        if hold is None:
            self._refuse_release(shared)
            return
        self.give_back(hold)

    def give_back(self, hold: Hold) -> None:
        """Release a hold in which nobody believes any more.

        Raises:
            LockLost: it was lost before.
        """
        refusal = self.give_up(hold.shared.path, hold.client, hold.holder, RELEASE_SECONDS)
        if refusal is None:
            return
        if refusal.code != "not_held":
            raise ElectorRefused(str(refusal), code=refusal.code, status=refusal.status)
        hold.lost = "the elector did not know it any more when it was released"
        if refusal.held_by:
            hold.lost += f"; it is held by {refusal.held_by}"
        hold.on_loss(hold.loss())
        raise hold.loss()

    def _refuse_release(self, shared: SharedLock) -> None:
        lost = shared.take_loss()
        if lost is not None:
            raise lost.loss()
        try:
            holder = self.sidecar.read_lock(shared.path, _LOOK_SECONDS)
        except (SyncError, Refused):
            holder = None
        if holder is None:
            raise NotHeld("release unlocked lock")
        raise NotHeld(f"the lock {shared.name!r} is held by another: {holder.text}", held_by=holder.text)

    def is_locked(self, shared: SharedLock) -> bool:
        """Whether anybody holds it.

        Raises:
            ElectorUnavailable, Refused: that could not be found out.
        """
        return shared.valid_hold() is not None or self.sidecar.read_lock(shared.path, _LOOK_SECONDS) is not None

    def give_up(self, path: str, client: str, holder: str, seconds: float) -> Refused | None:
        """Release a hold or a place in the queue: at once if possible, else the keeper goes on trying.

        Says what the elector had against it, if anything.
        """
        return self.say(Farewell(path, client, holder), seconds)

    def say(self, farewell: Sayable, seconds: float) -> Refused | None:
        """Say it at once if possible, else the keeper goes on trying. Says what the elector had against it."""
        try:
            self._say_until(now() + seconds, farewell)
        except Refused as refusal:
            return refusal
        except ElectorUnavailable:
            self.leave(farewell)
        except BaseException:  # An interrupt.
            self.leave(farewell)
            raise
        return None

    def _say_until(self, until: float, farewell: Sayable) -> None:
        backoff = Backoff()
        while True:
            try:
                farewell.say(self.sidecar, _left(until))
            except ElectorUnavailable:
                pause = backoff.pause_seconds()
                if now() + pause >= until:
                    raise
                sleep(pause)
            else:
                return

    def leave(self, farewell: Sayable) -> None:
        """Leave it to the keeper's thread."""
        self.farewells.add(farewell)
        self.wake()

    def wake(self) -> None:
        """Let the keeper's thread look at once at what there is to do."""
        if self.listener is not None:
            self.listener.wake()

    def expire(self) -> None:
        """Lose what is no longer certain, and let the elector know when it can be reached."""
        for hold in self.holds.expire(now()):
            self.farewells.add(Farewell(hold.shared.path, hold.client, hold.holder))


def _left(until: float) -> float:
    return max(_REQUEST_SECONDS_MIN, until - now())


_keepers: dict[str, Keeper] = {}


def keeper_of(address: Address) -> Keeper:
    """The one keeper of this process for that elector."""
    keeper = _keepers.get(address.url)
    if keeper is None:
        fresh = Keeper(address)
        keeper = _keepers.setdefault(address.url, fresh)
        if keeper is fresh:
            _process.watch(keeper)
    return keeper
