"""Leader election: of all processes that run an election of one name, one leads at a time.

From the first call of `run()` on:

    campaigning ── granted ──> leading: on_elected runs, and after it returned the process goes on leading
         ^                        │
         │                        ├── shutdown: `stopping` is set, the callback awaited, the lock released ──> over
         ├── at the queue's end ──┼── resign: the same, and on with the campaign
         └── on_lost is through ──┴── lost: `stopping` is set, on_lost called, the callback awaited
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Any
from weakref import WeakSet

from metaparticle_sync import _loss, _waiting, wire
from metaparticle_sync._acquiring import Acquisition, Withdrawal
from metaparticle_sync._address import resolve
from metaparticle_sync._holds import Hold
from metaparticle_sync._keeper import Keeper, keeper_of
from metaparticle_sync._loss import LossPolicy
from metaparticle_sync._office import Leadership, Office, leave_office
from metaparticle_sync.leader import Leader, LeaderChanges, leader_seen, metadata_terms


class Election:
    """Takes part in the election of a leader.

    `run()` campaigns until this process is elected, calls `on_elected`, and leads until `shutdown()`, even when
    `on_elected` has returned. At `shutdown()` the callback is told by `Leadership.stopping`, awaited, and only then can
    somebody else be elected. If the leadership is lost, `on_lost` is called (without it: what `set_loss_policy` says,
    at first the end of the process), and when both callbacks are through, `run()` campaigns again.

    Args:
        name: Of the election; also the name of the lock that the leader holds.
        on_elected: Called in the thread of `run()`, without arguments if that is possible, else with a `Leadership`.
        on_lost: As for a `Lock`: a callable, `"exit"`, `"signal"` or `"raise"` (`run()` raises the `LockLost`).
        base_uri: The elector. Default: the environment variable METAPARTICLE_SYNC_URL, else http://127.0.0.1:13131.
        is_master_callback: The older spelling of `on_elected`.
        lost_master_callback: The older spelling of `on_lost`.
        metadata: What `leader()` shows of this process while it leads, such as its address: a JSON object of up to
            4,096 characters. Everybody can read it.
        unavailable_seconds: How long a campaign puts up with an elector that went away.
    """

    __module__ = "metaparticle_sync"

    def __init__(
        self,
        name: str,
        on_elected: Callable[..., object] | None = None,
        on_lost: LossPolicy | None = None,
        *,
        base_uri: str | None = None,
        is_master_callback: Callable[..., object] | None = None,
        lost_master_callback: Callable[..., object] | None = None,
        metadata: Mapping[str, Any] | None = None,
        unavailable_seconds: float = _waiting.UNAVAILABLE_SECONDS_DEFAULT,
    ) -> None:
        if on_elected is not None and is_master_callback is not None:
            raise TypeError("on_elected and is_master_callback mean the same; give one of them")
        if on_lost is not None and lost_master_callback is not None:
            raise TypeError("on_lost and lost_master_callback mean the same; give one of them")
        self._on_elected = _checked_callback(on_elected or is_master_callback)
        self._on_lost = _loss.checked_policy(on_lost or lost_master_callback, "on_lost")
        self._unavailable_seconds = _waiting.checked_unavailable_seconds(unavailable_seconds)
        self._terms = metadata_terms(metadata)
        self._keeper: Keeper = keeper_of(resolve(base_uri))
        self._shared = self._keeper.holds.shared(wire.check_name(name))
        self._running = threading.Lock()
        self._withdrawal = Withdrawal()
        self._leadership: Leadership | None = None
        self._watches: WeakSet[LeaderChanges] = WeakSet()

    @property
    def name(self) -> str:
        """The name of the election."""
        return self._shared.name

    @property
    def is_leader(self) -> bool:
        """Whether this process certainly leads by this election at this moment."""
        leadership = self._leadership
        return leadership is not None and leadership.held

    def run(self) -> None:
        """Campaign and lead until `shutdown()`; it may have been called before.

        Raises:
            RuntimeError: it is running already.
            ElectorUnavailable: the elector can not be reached for too long.
            LockLost: the leadership was lost, and the policy is `"raise"`.
        """
        if not self._running.acquire(blocking=False):
            raise RuntimeError(f"the election {self.name!r} is running already")
        try:
            while not self._withdrawal.latch.is_set():
                office = Office(self._on_lost)
                hold = self._campaign(office)
                if hold is not None:
                    self._lead(hold, office)
        finally:
            self._withdrawal = Withdrawal()
            self._running.release()

    def leader(self) -> Leader | None:
        """Who leads now, here or elsewhere; None if nobody does. One request, which waits for nobody.

        Raises:
            ElectorUnavailable: that can not be known.
        """
        return leader_seen(self._keeper, self.name, self._unavailable_seconds)

    def changes(self) -> LeaderChanges:
        """Who leads now, and from then on each change, in a `for`.

        It needs no `run`. `shutdown` ends it, and so does its own `close`.
        """
        changes = LeaderChanges(self._keeper, self.name, self._unavailable_seconds)
        self._watches.add(changes)
        return changes

    def resign(self) -> None:
        """If this process leads, let somebody else lead.

        The callback is told by `Leadership.stopping` and awaited. Only then the lock is released, and this process
        campaigns again, behind all who wait already; if nobody does, it is elected again.

        Returns at once. Any thread may call it, also a signal handler and the callback. Twice is as once.
        """
        leadership = self._leadership
        if leadership is not None:
            leadership.stopping.set()

    def shutdown(self) -> None:
        """Let `run()` end: at once if it campaigns, when the callback is through if it leads. Does not wait for it.

        Whoever iterates over `changes()` is at the end, too.
        """
        for changes in list(self._watches):
            changes.close()
        withdrawal = self._withdrawal
        withdrawal.latch.set()
        leadership = self._leadership
        if leadership is not None:
            leadership.stopping.set()
        withdrawal.withdraw()

    def _campaign(self, office: Office) -> Hold | None:
        patience = _waiting.Patience(None, self._unavailable_seconds, self._keeper.heard_at)
        acquisition = Acquisition(self._keeper, self._shared, patience, office.lost, self._withdrawal, self._terms)
        self._withdrawal.watch(acquisition)
        try:
            return acquisition.run()
        finally:
            self._withdrawal.unwatch(acquisition)

    def _lead(self, hold: Hold, office: Office) -> None:
        leadership = self._leadership = Leadership(hold)
        office.begin(leadership)
        if self._withdrawal.latch.is_set():
            leadership.stopping.set()
        try:
            if self._on_elected is not None and not leadership.stopping.is_set():
                _loss.call(self._on_elected, leadership)
            leadership.stopping.wait()
        finally:
            self._leadership = None
            leave_office(self._keeper, self._shared, hold)
            office.wait_until_told()
        office.raise_loss()

    def __repr__(self) -> str:
        state = "leading" if self.is_leader else "running" if self._running.locked() else "idle"
        return f"<{state} metaparticle_sync.Election name={self.name!r} at {id(self):#x}>"


def _checked_callback(callback: Any) -> Callable[..., object] | None:
    if callback is None:
        return None
    if not callable(callback):
        raise TypeError(f"on_elected is a callable, not {callback!r}")
    _loss.takes_nothing(callback, "on_elected")
    return callback  # type: ignore[no-any-return]
