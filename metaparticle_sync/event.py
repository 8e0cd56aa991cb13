"""`threading.Event`, but one flag for every process on every machine of the cluster."""

from __future__ import annotations

import threading
import warnings
from typing import Any

from metaparticle_sync import _waiting, wire
from metaparticle_sync._address import resolve
from metaparticle_sync._answers import EventState
from metaparticle_sync._calling import call_once, call_parked
from metaparticle_sync._holds import Shared
from metaparticle_sync._keeper import Keeper, keeper_of
from metaparticle_sync._looking import look


class SharedEvent(Shared):
    """An event. `is_set` is what was heard of it last."""

    __slots__ = ("is_set",)

    kind = "event"
    collection = wire.EVENTS_PATH

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.is_set = False


class Event:
    """A flag that any process of the cluster sets and clears, and for which any number of threads can wait.

    Everything that `threading.Event` does is done in the same way: whoever waits when it is set goes on, even if it is
    cleared at once. Two events of one name (at the same elector) are the same event. What is new:

    * It stays set when the process that set it ends; an unnamed one goes with the processes that use it.
    * Each method asks the elector, and raises `ElectorUnavailable` if nothing can be known. False always means: not
      set. `is_set` asks once, and for at most a second; `wait`, `set` and `clear` put up with an elector that went
      away for a while.

    Args:
        name: Any text of 1 to 512 characters. Without one the event has a fresh name, and is shared by passing it on.
        base_uri: The elector. Default: the environment variable METAPARTICLE_SYNC_URL, else http://127.0.0.1:13131.
        unavailable_seconds: How long `wait`, `set` and `clear` put up with an elector that went away.
    """

    __module__ = "metaparticle_sync"
    __slots__ = ("__weakref__", "_base_uri", "_cond", "_keeper", "_shared", "_unavailable_seconds")

    def __init__(
        self,
        name: str | None = None,
        base_uri: str | None = None,
        *,
        unavailable_seconds: float = _waiting.UNAVAILABLE_SECONDS_DEFAULT,
    ) -> None:
        self._unavailable_seconds = _waiting.checked_unavailable_seconds(unavailable_seconds)
        self._base_uri = base_uri
        self._keeper: Keeper = keeper_of(resolve(base_uri))
        self._shared = self._keeper.holds.shared_of(SharedEvent, self._keeper.name_of(name))
        self._cond = threading.Condition(threading.Lock())
        """Of no use here: it is what the standard library's tests look at."""

    @property
    def name(self) -> str:
        """The name of the event."""
        return self._shared.name

    def is_set(self) -> bool:
        """Whether it is set now.

        Raises:
            ElectorUnavailable: that can not be known.
        """
        keeper, path = self._keeper, self._shared.path
        state = look(keeper, self._unavailable_seconds, lambda timeout: keeper.sidecar.read_event(path, timeout))
        return self._noted(state).is_set

    def isSet(self) -> bool:  # noqa: N802 -- threading's old spelling
        """The old spelling of `is_set`."""
        warnings.warn("isSet() is deprecated, use is_set() instead", DeprecationWarning, stacklevel=2)
        return self.is_set()

    def set(self) -> None:
        """Set it, and wake everybody who waits for it.

        Raises:
            ElectorUnavailable: it is not known whether it is set now.
        """
        self._change(is_set=True)

    def clear(self) -> None:
        """Clear it: from now on `wait` waits.

        Raises:
            ElectorUnavailable: it is not known whether it is cleared now.
        """
        self._change(is_set=False)

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until it is set, for at most `timeout` seconds. Returns whether it was set; False: not in that time.

        Raises:
            ElectorUnavailable: it can not be known whether it is set.
        """
        patience = self._patience(_waiting.seconds_of_timeout(timeout))
        state = call_parked(self._keeper, patience, _Wait(self._keeper, self._shared.path).ask)
        return state is not None and self._noted(state).is_set

    def _change(self, *, is_set: bool) -> None:
        keeper, path, operation = self._keeper, self._shared.path, wire.new_id()
        state = call_once(
            keeper,
            self._patience(None),
            lambda client, timeout: keeper.sidecar.change_event(path, client, operation, timeout, is_set=is_set),
        )
        self._noted(state)

    def _patience(self, seconds: float | None) -> _waiting.Patience:
        return _waiting.Patience(seconds, self._unavailable_seconds, self._keeper.heard_at)

    def _noted(self, state: EventState) -> EventState:
        self._shared.is_set = state.is_set
        return state

    def _at_fork_reinit(self) -> None:
        """For the standard library after a fork. The event itself is the same in the child."""
        self._cond = threading.Condition(threading.Lock())

    def __getstate__(self) -> dict[str, Any]:
        self._keeper.hand_on(self.name)
        return {
            "name": self.name,
            "base_uri": self._base_uri,
            "unavailable_seconds": self._unavailable_seconds,
        }

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(**state)  # type: ignore[misc]

    def __repr__(self) -> str:
        kind = type(self)
        status = "set" if self._shared.is_set else "unset"
        return f"<{kind.__module__}.{kind.__qualname__} at {id(self):#x}: {status}>"


class _Wait:
    """One wait. It first asks how often the event was set, so that no later `set` is missed, whatever happens."""

    def __init__(self, keeper: Keeper, path: str) -> None:
        self._keeper = keeper
        self._path = path
        self._generation: int | None = None

    def ask(self, client: str, wait_seconds: float, timeout: float) -> EventState | None:
        """Ask once; None: it was not set yet."""
        seconds = 0.0 if self._generation is None else wait_seconds
        state = self._keeper.sidecar.await_event(self._path, client, self._generation, seconds, timeout)
        self._generation = state.generation
        return state if state.is_set else None
