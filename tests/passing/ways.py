"""The ways in which a program has a function called elsewhere, with a primitive as its argument."""

from __future__ import annotations

import functools
import multiprocessing
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import contextmanager
from multiprocessing.context import BaseContext
from typing import Any

import cloudpickle

from tests.passing.kinds import PATIENCE_SECONDS, Elsewhere

METHODS = ("fork", "spawn", "forkserver")

given: Any = None
"""What the initializer of a pool left here for its functions."""


def take(primitive: Any) -> None:
    """The initializer of a pool."""
    global given  # noqa: PLW0603 -- it is how initializers hand something on
    given = primitive


def call_with_given(function: Callable[[Any], Any]) -> Any:
    return function(given)


def send_result(pipe: Any, function: Callable[..., Any], primitive: Any) -> None:
    pipe.send(function(primitive))
    pipe.close()


class FromThread:
    """The result of a thread."""

    def __init__(self, function: Callable[..., Any], primitive: Any) -> None:
        self._results: list[Any] = []
        self._thread = threading.Thread(target=self._run, args=(function, primitive))
        self._thread.start()

    def _run(self, function: Callable[..., Any], primitive: Any) -> None:
        self._results.append(function(primitive))

    def result(self) -> Any:
        self._thread.join(PATIENCE_SECONDS)
        (result,) = self._results
        return result


class FromProcess:
    """The result of a process that was started for it."""

    def __init__(self, context: BaseContext, function: Callable[..., Any], primitive: Any) -> None:
        self._ours, theirs = context.Pipe(duplex=False)
        self._process = context.Process(target=send_result, args=(theirs, function, primitive))  # type: ignore[attr-defined]
        self._process.start()
        theirs.close()

    def result(self) -> Any:
        assert self._ours.poll(PATIENCE_SECONDS)
        result = self._ours.recv()
        self._process.join(PATIENCE_SECONDS)
        assert self._process.exitcode == 0
        return result


class FromPool:
    """The result of a task of a pool."""

    def __init__(self, pending: Any) -> None:
        self._pending = pending

    def result(self) -> Any:
        return self._pending.get(PATIENCE_SECONDS)


@contextmanager
def thread(_: BaseContext, primitive: Any) -> Iterator[Elsewhere]:
    yield FromThread


@contextmanager
def thread_pool(_: BaseContext, primitive: Any) -> Iterator[Elsewhere]:
    with ThreadPoolExecutor(1) as pool:
        yield pool.submit


@contextmanager
def process(context: BaseContext, primitive: Any) -> Iterator[Elsewhere]:
    yield functools.partial(FromProcess, context)


@contextmanager
def pool(context: BaseContext, primitive: Any) -> Iterator[Elsewhere]:
    with context.Pool(1) as workers:
        yield lambda function, *arguments: FromPool(workers.apply_async(function, arguments))


@contextmanager
def pool_initializer(context: BaseContext, primitive: Any) -> Iterator[Elsewhere]:
    with context.Pool(1, take, (primitive,)) as workers:
        yield lambda function, _: FromPool(workers.apply_async(call_with_given, (function,)))


@contextmanager
def process_pool(context: BaseContext, primitive: Any) -> Iterator[Elsewhere]:
    with ProcessPoolExecutor(1, mp_context=context) as workers:
        yield workers.submit


@contextmanager
def process_pool_initializer(context: BaseContext, primitive: Any) -> Iterator[Elsewhere]:
    with ProcessPoolExecutor(1, mp_context=context, initializer=take, initargs=(primitive,)) as workers:
        yield lambda function, _: workers.submit(call_with_given, function)


@contextmanager
def cloudpickled(context: BaseContext, primitive: Any) -> Iterator[Elsewhere]:
    """A closure over the primitive, as cluster schedulers send one."""
    with ProcessPoolExecutor(1, mp_context=context) as workers:

        def submit(function: Callable[..., Any], primitive: Any) -> Future[Any]:
            return workers.submit(call_closure, cloudpickle.dumps(lambda: function(primitive)))

        yield submit


def call_closure(text: bytes) -> Any:
    return cloudpickle.loads(text)()


ThreadWay = Callable[[BaseContext, Any], Any]
IN_THREADS: dict[str, ThreadWay] = {"thread": thread, "thread_pool": thread_pool}
IN_PROCESSES: dict[str, ThreadWay] = {
    "process": process,
    "pool": pool,
    "pool_initializer": pool_initializer,
    "process_pool": process_pool,
    "process_pool_initializer": process_pool_initializer,
    "cloudpickled": cloudpickled,
}


def way(name: str, method: str, primitive: Any) -> Any:
    """A context manager that gives `elsewhere`."""
    return (IN_THREADS | IN_PROCESSES)[name](multiprocessing.get_context(method), primitive)
