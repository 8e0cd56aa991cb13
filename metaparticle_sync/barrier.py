"""`threading.Barrier`, for parties in any process of the cluster.

wait ── arrive ── 202: others are missing ── say where ──┐
           │                                             ├── 200 passed ──────────────────────────> the index
           └─────────────────────────────────────────────┤── 200 acting: run the action ── open ──> the index
                                                         ├── 409 barrier_broken ──> BrokenBarrierError
                                                         └── time over, interrupt: leave, which breaks it for all
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from functools import partial
from threading import BrokenBarrierError
from typing import Any, Final

from metaparticle_sync import _waiting, wire
from metaparticle_sync._address import resolve
from metaparticle_sync._answers import Arrival, BarrierState, Refused
from metaparticle_sync._calling import call_once, call_parked
from metaparticle_sync._clock import now
from metaparticle_sync._holds import Shared
from metaparticle_sync._keeper import Keeper, keeper_of
from metaparticle_sync._looking import look
from metaparticle_sync._waiting import Patience
from metaparticle_sync.errors import SyncError

__all__ = ["Barrier", "BrokenBarrierError"]

_LEAVE_SECONDS_MAX: Final = 0.4
"""How much later than its deadline a party may begin to ask once more whether it has passed just then."""

_LEAVE_SECONDS_MIN: Final = 0.01
"""0 would be a single try."""

_LAST_ANSWER_SECONDS: Final = 0.9
"""How much later than its deadline a party may be told: its caller is promised one second."""

_REQUEST_SECONDS_MIN: Final = 0.05


class SharedBarrier(Shared):
    """A barrier, as it was when the elector last told of it."""

    __slots__ = ("generation", "is_broken", "parties", "waiting")

    kind = "barrier"
    collection = wire.BARRIERS_PATH

    def __init__(self, name: str, parties: int) -> None:
        super().__init__(name)
        self.parties = parties
        self.generation = self.waiting = 0
        self.is_broken = False

    def heard(self, state: BarrierState) -> None:
        """All of it was told."""
        self.generation, self.waiting = state.generation, state.waiting
        self.is_broken = state.state == "broken"

    def heard_of_arrival(self, arrival: Arrival) -> None:
        """At least so many wait in that generation, or it is over. Threads may hear of it in any order."""
        is_over = arrival.state != "waiting"
        at_least = (arrival.generation + 1, 0) if is_over else (arrival.generation, arrival.number + 1)
        self.generation, self.waiting = max((self.generation, self.waiting), at_least)
        self.is_broken = False

    def heard_of_break(self) -> None:
        """It is broken."""
        self.is_broken, self.waiting = True, 0


class Barrier:
    """A point that parties pass only together, whatever process of the cluster they are in.

    Everything that `threading.Barrier` does is done in the same way. Two barriers of one name (at the same elector) are
    the same barrier; whoever uses a name with another number of parties gets a ValueError. What is new:

    * A party whose process dies breaks the barrier, so that nobody waits for it.
    * The action is that of the party that arrives last; if this one has none, there is none.
    * `wait` raises `ElectorUnavailable` when nothing is known of the others; `BrokenBarrierError`, which is that of
      `threading`, means that it is broken.

    Args:
        parties: How many pass together.
        action: Called by the last party before all of them pass. If it raises, the barrier is broken.
        timeout: The default of `wait`.
        name: Any text of 1 to 512 characters. Without one it has a fresh name, and is shared by passing it on.
        base_uri: The elector. Default: the environment variable METAPARTICLE_SYNC_URL, else http://127.0.0.1:13131.
        unavailable_seconds: How long a waiting party puts up with an elector that went away.
    """

    __module__ = "metaparticle_sync"
    __slots__ = ("__weakref__", "_action", "_base_uri", "_keeper", "_shared", "_timeout", "_unavailable_seconds")

    def __init__(
        self,
        parties: int,
        action: Callable[[], object] | None = None,
        timeout: float | None = None,
        *,
        name: str | None = None,
        base_uri: str | None = None,
        unavailable_seconds: float = _waiting.UNAVAILABLE_SECONDS_DEFAULT,
    ) -> None:
        count = _checked_parties(parties)
        if isinstance(action, str):  # `threading` would find out when all have arrived.
            raise TypeError(f"action is a callable, not {action!r}; the name of a barrier is given by name=")
        self._unavailable_seconds = _waiting.checked_unavailable_seconds(unavailable_seconds)
        self._action = action
        self._timeout = timeout
        self._base_uri = base_uri
        self._keeper: Keeper = keeper_of(resolve(base_uri))
        known_as = self._keeper.name_of(name)
        self._shared = self._keeper.holds.shared_of(SharedBarrier, known_as, count)
        if self._shared.parties != count:
            theirs = self._shared.parties
            raise ValueError(f"{known_as!r} can not be a barrier of {count}: in this process it is one of {theirs}")

    @property
    def name(self) -> str:
        """The name of the barrier."""
        return self._shared.name

    @property
    def parties(self) -> int:
        """How many pass together."""
        return self._shared.parties

    @property
    def n_waiting(self) -> int:
        """How many have arrived and wait for the others.

        Raises:
            ElectorUnavailable: that can not be known.
        """
        return self._look().waiting

    @property
    def broken(self) -> bool:
        """Whether it is broken.

        Raises:
            ElectorUnavailable: that can not be known.
        """
        return self._look().state == "broken"

    def wait(self, timeout: float | None = None) -> int:
        """Wait until all parties have arrived. Returns an index from 0 to `parties - 1`, another one to each.

        Raises:
            BrokenBarrierError: it is broken, or was broken or reset meanwhile; or the time was over, which breaks it.
            ElectorUnavailable: nothing is known of the others; this breaks it, too.
            ValueError: others count another number of parties.
        """
        seconds = _waiting.seconds_of_timeout(self._timeout if timeout is None else timeout)
        return _Party(self._keeper, self._shared, self._action).wait(self._patience, seconds)

    def reset(self) -> None:
        """Make it as new. Whoever waits gets a BrokenBarrierError.

        Raises:
            ElectorUnavailable: whether it worked is not known.
        """
        self._change("reset")

    def abort(self) -> None:
        """Break it. Whoever waits, or comes before the next reset, gets a BrokenBarrierError.

        Raises:
            ElectorUnavailable: whether it worked is not known.
        """
        self._change("abort")

    def _look(self) -> BarrierState:
        read = partial(self._keeper.sidecar.read_barrier, self._shared.path)
        state = look(self._keeper, self._unavailable_seconds, read)
        self._shared.heard(state)
        return state

    def _change(self, transition: str) -> None:
        shared, change = self._shared, {"transition": transition}
        _change(self._keeper, shared, self._patience(None), change, partial(_explained, shared))

    def _patience(self, seconds: float | None) -> Patience:
        return Patience(seconds, self._unavailable_seconds, self._keeper.heard_at)

    def __getstate__(self) -> dict[str, Any]:
        self._keeper.hand_on(self.name)
        return {
            "parties": self.parties,
            "action": self._action,
            "timeout": self._timeout,
            "name": self.name,
            "base_uri": self._base_uri,
            "unavailable_seconds": self._unavailable_seconds,
        }

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(**state)  # type: ignore[misc]

    def __repr__(self) -> str:
        kind, shared = type(self), self._shared
        state = "broken" if shared.is_broken else f"waiters={shared.waiting}/{shared.parties}"
        return f"<{kind.__module__}.{kind.__qualname__} at {id(self):#x}: {state}>"


class _Party:
    """One call of `wait`."""

    def __init__(self, keeper: Keeper, shared: SharedBarrier, action: Callable[[], object] | None) -> None:
        self._keeper = keeper
        self._shared = shared
        self._action = action
        self._holder = wire.new_id()
        self._client = ""
        """The client in whose name this party may stand at the elector; none when it does not, or not any more."""
        self._arrived: Arrival | None = None

    def wait(self, patience_for: Callable[[float | None], Patience], seconds: float | None) -> int:
        """Pass. Returns the index. Whatever else ends it breaks the barrier."""
        patience = patience_for(seconds)
        try:
            if self._has_passed(patience, patience_for) and self._arrived is not None:
                return self._arrived.number
        except BaseException as error:
            if self._client:
                is_interrupted = not isinstance(error, SyncError)
                limit = patience.give_up_seconds(interrupted=is_interrupted)
                self._keeper.give_up(self._shared.path, self._client, self._holder, limit)
                self._shared.heard_of_break()
            raise
        self._shared.heard_of_break()
        raise BrokenBarrierError(f"the time was over before all had arrived at the barrier {self._shared.name!r}")

    def _has_passed(self, patience: Patience, patience_for: Callable[[float | None], Patience]) -> bool:
        arrival = call_parked(self._keeper, patience, self._ask, explain=self._explained)
        if arrival is None:
            left = max(_LEAVE_SECONDS_MIN, patience.deadline + _LEAVE_SECONDS_MAX - now())
            return self._has_passed_just_then(patience_for(left), patience.deadline + _LAST_ANSWER_SECONDS)
        if arrival.state == "acting":
            self._act(patience_for(None))
        self._client = ""
        return True

    def _ask(self, client: str, wait_seconds: float, timeout: float) -> Arrival | None:
        shared, sidecar = self._shared, self._keeper.sidecar
        party = {"parties": shared.parties, "acts": bool(self._action)}
        if self._arrived is None:  # First learn the place: an elector that restarts may not know it any more.
            wait_seconds, timeout = 0.0, timeout - wait_seconds
        self._client = client
        arrival = sidecar.arrive(shared.path, client, self._holder, party, self._arrived, wait_seconds, timeout)
        shared.heard_of_arrival(arrival)
        self._arrived = arrival
        return None if arrival.state == "waiting" else arrival

    def _act(self, patience: Patience) -> None:
        """All have arrived, and wait until the action has been run."""
        if self._action is not None:
            self._action()
        change = {"transition": "open", "holder": self._holder}
        _change(self._keeper, self._shared, patience, change, explain=self._explained)

    def _has_passed_just_then(self, patience: Patience, until: float) -> bool:
        """The time is over: leave, which breaks the barrier, unless the others came at the last moment."""

        def leave(client: str, timeout: float) -> str:
            timeout = max(_REQUEST_SECONDS_MIN, min(timeout, until - now()))
            return self._keeper.sidecar.depart(self._shared.path, client, self._holder, self._arrived, timeout)

        state = call_once(self._keeper, patience, leave, explain=self._explained)
        self._client = ""
        if self._arrived is not None and state == "passed":
            self._shared.heard_of_arrival(self._arrived._replace(state=state))
        return state == "passed"

    def _explained(self, refusal: Refused) -> Exception | None:
        self._client = ""  # It was refused for good: there is nothing to give up.
        return _explained(self._shared, refusal)


def _change(
    keeper: Keeper,
    shared: SharedBarrier,
    patience: Patience,
    change: Mapping[str, object],
    explain: Callable[[Refused], Exception | None],
) -> None:
    operation = wire.new_id()

    def send(client: str, timeout: float) -> BarrierState:
        fields = {"parties": shared.parties, **change}
        return keeper.sidecar.change_barrier(shared.path, client, operation, fields, timeout)

    shared.heard(call_once(keeper, patience, send, explain=explain))


def _explained(shared: SharedBarrier, refusal: Refused) -> Exception | None:
    if refusal.code in {"barrier_broken", "holder_dead"}:
        shared.heard_of_break()
        return BrokenBarrierError(f"the barrier {shared.name!r} is broken")
    return ValueError(refusal.detail) if refusal.code == "parties_mismatch" else None


def _checked_parties(parties: Any) -> int:
    if isinstance(parties, str):  # Of most primitives the name is the first argument.
        raise TypeError(f"parties is a number, not {parties!r}; the name of a barrier is given by name=")
    count = operator.index(parties)
    if count < 1:
        raise ValueError("parties must be > 0")
    if count > wire.PARTIES_MAX:
        raise OverflowError(f"parties must be at most {wire.PARTIES_MAX}, not {count}")
    return count
