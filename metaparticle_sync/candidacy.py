"""`leader_only`: a function, or a block of code, that runs in one process of the cluster at a time.

An `Election` leads until it is shut down. Here the body decides: when it ends, the office is given back.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Coroutine, Mapping
from types import TracebackType
from typing import Any, Generic, Literal, Never, ParamSpec, TypeVar, cast, overload

from metaparticle_sync import _loss, _waiting, wire
from metaparticle_sync._address import resolve
from metaparticle_sync._candidate import Candidate, Settings, place
from metaparticle_sync._keeper import Keeper, keeper_of
from metaparticle_sync._loss import LossPolicy
from metaparticle_sync._office import Leadership
from metaparticle_sync.leader import metadata_terms

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")
Otherwise = TypeVar("Otherwise")
Entered = TypeVar("Entered")

_NOT_GIVEN: Any = object()


class LeaderOnly(Generic[Otherwise, Entered]):
    """What `leader_only` returns: a decorator, and a context manager for `with` and `async with`.

    Any number of threads and tasks may use it at once; each of them is a candidate of its own.
    """

    __module__ = "metaparticle_sync"

    def __init__(self, settings: Settings, otherwise: Otherwise) -> None:
        self._settings = settings
        self._otherwise = otherwise
        self._entered: list[Candidate] = []
        self._mutex = threading.Lock()

    @overload
    def __call__(
        self, function: Callable[Parameters, Coroutine[Any, Any, Result]]
    ) -> Callable[Parameters, Coroutine[Any, Any, Result | Otherwise]]: ...

    @overload
    def __call__(self, function: Callable[Parameters, Result]) -> Callable[Parameters, Result | Otherwise]: ...

    def __call__(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """The function that runs as the leader only."""
        settings, otherwise = self._settings, self._otherwise
        if not _is_coroutine_function(function):

            @functools.wraps(function)
            def run(*args: Any, **kwargs: Any) -> Any:
                with Candidate(settings) as leadership:
                    return otherwise if leadership is None else function(*args, **kwargs)

            return run

        @functools.wraps(function)
        async def run_in_task(*args: Any, **kwargs: Any) -> Any:
            async with Candidate(settings) as leadership:
                return otherwise if leadership is None else await function(*args, **kwargs)

        return run_in_task

    def __enter__(self) -> Entered:
        candidate = Candidate(self._settings)
        return self._note(candidate, candidate.__enter__())

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._take_note().__exit__(kind, error, traceback)

    async def __aenter__(self) -> Entered:
        candidate = Candidate(self._settings)
        return self._note(candidate, await candidate.__aenter__())

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._take_note().__aexit__(kind, error, traceback)

    def _note(self, candidate: Candidate, leadership: Leadership | None) -> Entered:
        with self._mutex:
            self._entered.append(candidate)
        return cast("Entered", leadership)

    def _take_note(self) -> Candidate:
        """The candidate that entered last in this thread or task; if another one leaves, the last of all."""
        here = place()
        with self._mutex:
            mine = [candidate for candidate in self._entered if candidate.place == here]
            candidate = (mine or self._entered)[-1]
            self._entered.remove(candidate)
        return candidate

    def __repr__(self) -> str:
        mode = "skip" if self._settings.tries else "wait"
        return f"<metaparticle_sync.LeaderOnly name={self._settings.shared.name!r} mode={mode!r}>"


@overload
def leader_only(
    name: str,
    *,
    mode: Literal["wait"] = "wait",
    timeout: float | None = None,
    on_lost: LossPolicy | None = None,
    base_uri: str | None = None,
    metadata: Mapping[str, Any] | None = None,
    unavailable_seconds: float = _waiting.UNAVAILABLE_SECONDS_DEFAULT,
) -> LeaderOnly[Never, Leadership]: ...


@overload
def leader_only(
    name: str,
    *,
    mode: Literal["skip"],
    on_lost: LossPolicy | None = None,
    base_uri: str | None = None,
    metadata: Mapping[str, Any] | None = None,
    unavailable_seconds: float = _waiting.UNAVAILABLE_SECONDS_DEFAULT,
) -> LeaderOnly[None, Leadership | None]: ...


@overload
def leader_only(
    name: str,
    *,
    mode: Literal["skip"],
    otherwise: Otherwise,
    on_lost: LossPolicy | None = None,
    base_uri: str | None = None,
    metadata: Mapping[str, Any] | None = None,
    unavailable_seconds: float = _waiting.UNAVAILABLE_SECONDS_DEFAULT,
) -> LeaderOnly[Otherwise, Leadership | None]: ...


def leader_only(
    name: str,
    *,
    mode: str = "wait",
    otherwise: Any = _NOT_GIVEN,
    timeout: float | None = None,
    on_lost: LossPolicy | None = None,
    base_uri: str | None = None,
    metadata: Mapping[str, Any] | None = None,
    unavailable_seconds: float = _waiting.UNAVAILABLE_SECONDS_DEFAULT,
) -> LeaderOnly[Any, Any]:
    """Let a function, a coroutine function or a `with` run only while this process is the leader.

        @leader_only("scheduler")
        def schedule() -> None: ...               # waits until this process leads, and leads until it returns

        @leader_only("nightly-report", mode="skip", otherwise="done elsewhere")
        def report() -> str: ...                  # returns "done elsewhere" while somebody else leads

        async with leader_only("scheduler") as leadership: ...

    At most one process leads by one name, be it here, by an `Election` or by a `Lock` of that name. When the body ends,
    by a result or an error, the office is free for the next candidate.

    The body finds its `Leadership` in what the `with` gives, or by `current_leadership()`: its `token`, and `stopping`,
    which is set when the leadership is lost. Then `on_lost` is carried out at once, and when the body ends `LockLost`
    is raised, unless it raised something itself.

    A body that enters the same name again (a function that calls itself) is the leader already, and shares the office.
    In a coroutine function nothing blocks the event loop. A task that is cancelled while it waits gives its candidacy
    up, one that is cancelled while it leads releases, before `CancelledError` goes on.

    Args:
        name: Of the election.
        mode: `"wait"` until this process leads; or `"skip"` the body if somebody else does. A `with` can not skip its
            body: it gives None instead of a `Leadership`.
        otherwise: What a function returns that was skipped. Only with `"skip"`. Default: None.
        timeout: How many seconds to wait for the office, at most; then `TimeoutError` is raised. Only with `"wait"`.
        on_lost: As for a `Lock`: a callable, `"exit"`, `"signal"` or `"raise"`.
        base_uri: The elector. Default: the environment variable METAPARTICLE_SYNC_URL, else http://127.0.0.1:13131.
        metadata: What `Election.leader()` and `leader_of()` show while this process leads; a JSON object.
        unavailable_seconds: How long a candidate puts up with an elector that went away, in both modes.

    Raises:
        ValueError, TypeError: a setting can not be right. The decorator and the body besides raise `ElectorUnavailable`
            where it can not be known who leads, be it with `"skip"`.
    """
    if mode not in {"wait", "skip"}:
        raise ValueError(f"mode is {mode!r}: it must be 'wait' or 'skip'")
    if mode == "wait" and otherwise is not _NOT_GIVEN:
        raise TypeError("otherwise is what a skipped function returns; it needs mode='skip'")
    if mode == "skip" and timeout is not None:
        raise TypeError("timeout is for mode='wait'; mode='skip' waits for nobody")
    keeper: Keeper = keeper_of(resolve(base_uri))
    settings = Settings(
        keeper=keeper,
        shared=keeper.holds.shared(wire.check_name(name)),
        tries=mode == "skip",
        seconds=_waiting.seconds_to_wait(True, timeout),
        on_lost=_loss.checked_policy(on_lost, "on_lost"),
        unavailable_seconds=_waiting.checked_unavailable_seconds(unavailable_seconds),
        terms=metadata_terms(metadata),
    )
    return LeaderOnly(settings, None if otherwise is _NOT_GIVEN else otherwise)


def _is_coroutine_function(function: Callable[..., Any]) -> bool:
    """Whether a call gives something to await.

    Raises:
        TypeError: a call runs nothing yet, or it can not be called.
    """
    import inspect  # noqa: PLC0415 -- slow to import

    if not callable(function):
        raise TypeError(
            f"leader_only decorates a function, not {function!r}; @classmethod and @property stand above it"
        )
    call = getattr(function, "__call__", None)  # noqa: B004 -- of an object that is called as a function
    if any(inspect.isgeneratorfunction(part) or inspect.isasyncgenfunction(part) for part in (function, call)):
        raise TypeError(
            f"{function!r} is a generator function: its body runs after the call, when nobody leads any more"
        )
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(call)
