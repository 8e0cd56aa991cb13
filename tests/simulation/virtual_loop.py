"""An asyncio event loop in virtual time, whose only source of disorder is a seed.

Nothing sleeps: when nobody can run, time jumps to the next timer. Handles that are ready at the same moment run in an
order drawn from the seed, since no correct program relies on the order in which different tasks wake up.

Every handle belongs to an `Owner`, one life of a simulated process, found in the handle's context. An owner can be
paused: its handles and timers are withheld while time goes on, and run when it resumes. It can be crashed: whatever
it would have done is dropped, nothing is cancelled and no `finally` runs, as after SIGKILL.
"""

from __future__ import annotations

import asyncio
import heapq
import inspect
import warnings
from asyncio import TimerHandle
from collections.abc import Callable, Coroutine, Generator
from contextvars import Context, ContextVar, copy_context
from enum import Enum
from random import Random
from typing import Any, TypeVar

T = TypeVar("T")

STEPS_MAX = 3_000_000
"""More handles than any run needs: a run that reaches this number never ends."""

STEPS_AT_ONE_INSTANT_MAX = 50_000
"""More handles than any moment needs: who reaches this number waits for something without letting time pass."""


class Deadlock(AssertionError):
    """Nobody can run and no timer is set, yet the run is not over."""


class Runaway(AssertionError):
    """The run does not end, or does not let time pass."""


class UncaughtError(AssertionError):
    """Something was raised that nobody caught, in a callback or in a task that nobody awaits."""


class Life(Enum):
    """What an owner may do."""

    RUNNING = "running"
    PAUSED = "paused"
    CRASHED = "crashed"


class OwnedHandle(TimerHandle):
    """A handle that knows its owner. Leaner than its parent: a run makes tens of thousands of them."""

    __slots__ = ("owner",)

    def __init__(
        self, when: float, callback: Callable[..., object], args: tuple[object, ...], context: Context | None
    ) -> None:
        self._when = when
        self._callback = callback
        self._args = args
        self._cancelled = False
        self._context = copy_context() if context is None else context
        self.owner: Owner | None = self._context.get(OWNER)

    def cancel(self) -> None:
        self._cancelled = True
        self._args = ()

    def run(self) -> None:
        """Call back. What the callback raises ends the whole run."""
        self._context.run(self._callback, *self._args)


class Owner:
    """One life of one simulated process: everything that it has started shares its fate."""

    def __init__(self, loop: VirtualLoop, name: str) -> None:
        self.name = name
        self.life = Life.RUNNING
        self._loop = loop
        self._withheld: list[OwnedHandle] = []
        self._trap: tuple[int, Callable[[], object]] | None = None
        self.context = copy_context()
        self.context.run(OWNER.set, self)

    def __repr__(self) -> str:
        return f"<Owner {self.name} {self.life.value}>"

    def spawn(self, work: Coroutine[Any, Any, T], name: str | None = None) -> asyncio.Task[T]:
        """Run `work` as a task of this process."""
        return self._loop.create_task(work, name=name, context=self.context.copy())

    def pause(self) -> None:
        """Stop running, as after SIGSTOP. Time goes on."""
        if self.life is Life.RUNNING:
            self.life = Life.PAUSED

    def resume(self) -> None:
        """Run again; first of all, in any order, what became due meanwhile."""
        if self.life is Life.PAUSED:
            self.life = Life.RUNNING
            withheld, self._withheld = self._withheld, []
            for handle in withheld:
                self._loop.make_ready(handle)

    def crash(self) -> None:
        """Never run again, as after SIGKILL."""
        self.life = Life.CRASHED
        self._withheld.clear()
        self._trap = None

    def after_steps(self, steps: int, action: Callable[[], object]) -> None:
        """Do `action` when this owner has run `steps` more handles: so a fault can strike at any await."""
        self._trap = (steps, action)

    def refuse(self, handle: OwnedHandle) -> None:
        """Keep a handle that this owner may not run now, or drop it for ever."""
        if self.life is Life.PAUSED:
            self._withheld.append(handle)

    def count_step(self) -> None:
        """Say that one handle of this owner ran."""
        if self._trap is None:
            return
        steps, action = self._trap
        self._trap = (steps - 1, action)
        if steps <= 1:
            self._trap = None
            action()


OWNER: ContextVar[Owner | None] = ContextVar("owner", default=None)


class VirtualLoop(asyncio.BaseEventLoop):
    """The loop. `failures` lists what nobody caught: exceptions of callbacks and of tasks that nobody awaited."""

    _stopping: bool

    def __init__(self, random: Random) -> None:
        super().__init__()
        self.steps = 0
        self.failures: list[str] = []
        self._random = random
        self._now = 0.0
        self._queue: list[OwnedHandle] = []
        self._timers: list[tuple[float, int, OwnedHandle]] = []
        self._timer_count = 0
        self._steps_now = 0
        self._tasks: list[tuple[Owner | None, asyncio.Task[Any]]] = []
        self._tasks_next_sweep = 256

    def time(self) -> float:
        return self._now

    def call_soon(self, callback: Callable[..., object], *args: object, context: Context | None = None) -> OwnedHandle:
        handle = OwnedHandle(self._now, callback, args, context)
        self._queue.append(handle)
        return handle

    def call_later(
        self, delay: float, callback: Callable[..., object], *args: object, context: Context | None = None
    ) -> OwnedHandle:
        return self.call_at(self._now + delay, callback, *args, context=context)

    def call_at(
        self, when: float, callback: Callable[..., object], *args: object, context: Context | None = None
    ) -> OwnedHandle:
        handle = OwnedHandle(when, callback, args, context)
        self._timer_count += 1
        heapq.heappush(self._timers, (when, self._timer_count, handle))
        return handle

    def create_task(
        self,
        coro: Generator[Any, None, T] | Coroutine[Any, Any, T],
        *,
        name: object = None,
        context: Context | None = None,
        **options: Any,
    ) -> asyncio.Task[T]:
        """Start a task, and keep it: the collector must not close the tasks of a crashed process half-way."""
        task = asyncio.Task(coro, loop=self, name=None if name is None else str(name), context=context, **options)
        self._tasks.append((OWNER.get() if context is None else context.get(OWNER), task))
        if len(self._tasks) > self._tasks_next_sweep:
            self._sweep_tasks()
        return task

    def make_ready(self, handle: OwnedHandle) -> None:
        """Put a handle into the queue again, on behalf of an owner that has resumed."""
        self._queue.append(handle)

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        error = context.get("exception")
        if "future" in context and not isinstance(context["future"], asyncio.Task):
            return  # Whoever was going to look at it has crashed.
        self.failures.append(f"{context.get('message')}: {error!r}")

    def dispose(self) -> None:
        """Close the loop and every coroutine that has not ended, without noise: the run is over."""
        for owner, task in self._tasks:
            self._note_failure(owner, task)
        tasks, self._tasks = self._tasks, []
        self.close()
        self._timers.clear()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)
            for _, task in tasks:
                _close_quietly(task)
            tasks.clear()
            self._queue.clear()

    def _run_once(self) -> None:
        if not self._queue and not self._stopping:
            self._advance()
        batch, self._queue = self._queue, []
        if len(batch) > 1:
            self._random.shuffle(batch)
        for handle in batch:
            if handle._cancelled:
                continue
            owner = handle.owner
            if owner is None:
                handle.run()
            elif owner.life is Life.RUNNING:
                handle.run()
                owner.count_step()
            else:
                owner.refuse(handle)
        self._count_steps(len(batch))

    def _advance(self) -> None:
        """Let time jump to the next timer, and make all timers of that moment ready."""
        timers = self._timers
        while timers and _is_void(timers[0][2]):
            heapq.heappop(timers)
        if not timers:
            raise Deadlock(f"at {self._now:.3f} s nobody can run, and no timer is set")
        if timers[0][0] > self._now:
            self._now = timers[0][0]
            self._steps_now = 0
        while timers and timers[0][0] <= self._now:
            self._queue.append(heapq.heappop(timers)[2])

    def _count_steps(self, steps: int) -> None:
        self.steps += steps
        self._steps_now += steps
        if self.failures:
            raise UncaughtError("; ".join(self.failures))
        if self._steps_now > STEPS_AT_ONE_INSTANT_MAX:
            raise Runaway(f"{self._steps_now} steps at {self._now:.6f} s and time does not pass")
        if self.steps > STEPS_MAX:
            raise Runaway(f"{self.steps} steps and the run has not ended at {self._now:.3f} s")

    def _sweep_tasks(self) -> None:
        """Forget the tasks that have ended, so that a long run does not keep them all."""
        for owner, task in self._tasks:
            self._note_failure(owner, task)
        self._tasks = [(owner, task) for owner, task in self._tasks if not task.done()]
        self._tasks_next_sweep = 2 * len(self._tasks) + 256

    def _note_failure(self, owner: Owner | None, task: asyncio.Task[Any]) -> None:
        if not task.done() or task.cancelled() or not task._log_traceback:
            return
        error = task.exception()
        if not _is_crashed(owner):
            self.failures.append(f"nobody awaited {task.get_name()} of {owner}: {error!r}")

    def _write_to_self(self) -> None:
        """There is no selector to wake."""

    def _process_events(self, events: object) -> None:
        """There are no sockets."""


def _is_void(timer: OwnedHandle) -> bool:
    return timer._cancelled or _is_crashed(timer.owner)


def _is_crashed(owner: Owner | None) -> bool:
    return owner is not None and owner.life is Life.CRASHED


def _close_quietly(task: asyncio.Task[Any]) -> None:
    """End a coroutine whose process is gone. What its `finally` blocks attempt has nowhere to go."""
    task._log_destroy_pending = False  # type: ignore[attr-defined]
    coroutine = task.get_coro()
    if not inspect.iscoroutine(coroutine):
        return
    for _ in range(20):
        if inspect.getcoroutinestate(coroutine) == inspect.CORO_CLOSED:
            return
        try:
            coroutine.close()
        except BaseException:  # noqa: BLE001
            continue


def run(seed: object, main: Callable[[VirtualLoop], Coroutine[Any, Any, T]]) -> T:
    """Run `main` to its end in virtual time, and fail if anything was raised that nobody caught."""
    loop = VirtualLoop(Random(f"order of {seed}"))
    try:
        result = loop.run_until_complete(main(loop))
    finally:
        loop.dispose()
    if loop.failures:
        raise UncaughtError("; ".join(loop.failures))
    return result
