"""One simulated machine with its elector, one life after the other, and the connections of its clients to it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from random import Random
from typing import Any, Generic, TypeVar

from elector_server.durations import Durations
from elector_server.elector import Elector
from elector_server.own_session import Identity
from elector_server.problems import Problem
from tests.simulation.clock import SimulatedClock
from tests.simulation.faults import Faults
from tests.simulation.faulty_store import Network, StoreHandle
from tests.simulation.history import Call, History
from tests.simulation.virtual_loop import Life, Owner

T = TypeVar("T")

LOOPBACK_SECONDS = 0.0005


class Departure:
    """What the elector is handed with a request that parks: it returns when the client's connection is gone."""

    def __init__(self) -> None:
        self._gone = asyncio.Event()

    async def wait(self) -> None:
        await self._gone.wait()

    def is_gone(self) -> bool:
        return self._gone.is_set()

    def note(self) -> None:
        """The connection is gone."""
        self._gone.set()


class Pod:
    """A machine with one elector identity. Its clock is shared by the elector and the clients on it."""

    def __init__(
        self, network: Network, history: History, name: str, clock: SimulatedClock, durations: Durations
    ) -> None:
        self.name = name
        self.clock = clock
        self.durations = durations
        self.faults = Faults()
        self.history = history
        self.network = network
        self.boots = 1
        self.processes: list[ElectorProcess] = []

    @property
    def current(self) -> ElectorProcess | None:
        """The elector that listens on the pod's port now; None if none does."""
        alive = [process for process in self.processes if process.owner.life is not Life.CRASHED]
        return alive[-1] if alive else None

    def start_elector(self, durations: Durations | None = None, *, prepare: Prepare | None = None) -> ElectorProcess:
        """Begin another life of the pod's elector. `prepare` may script its store before anything is sent."""
        process = ElectorProcess(self, len(self.processes) + 1, durations or self.durations)
        self.processes.append(process)
        if prepare is not None:
            prepare(process.store)
        process.start()
        return process

    @property
    def identity(self) -> Identity:
        """Who the pod's elector is, in each of its lives."""
        return Identity(owner=self.name, key=self.name, boot_id=f"{self.name}-boot-{self.boots}")


Prepare = Callable[[StoreHandle], object]


class ElectorProcess:
    """One life of one elector, from its start to its crash or exit."""

    def __init__(self, pod: Pod, life: int, durations: Durations) -> None:
        network = pod.network
        self.pod = pod
        self.name = f"{pod.name}.{life}"
        self.owner = Owner(network.loop, self.name)
        self.store = StoreHandle(network, pod.faults, self.name)
        self.pauses = 0
        self.connections: dict[Connection[Any], None] = {}
        self.streams: dict[StreamConnection, None] = {}
        self.elector: Elector = self.owner.context.run(self._make_elector, durations)

    def _make_elector(self, durations: Durations) -> Elector:
        pod = self.pod
        seed = pod.network.random.getrandbits(64)
        return Elector(self.store, identity=pod.identity, durations=durations, clock=pod.clock, random=Random(seed))

    def start(self) -> None:
        """Let the elector begin its work."""
        self.pod.history.note(self.pod.network.loop.time(), f"START {self.name}")
        self.owner.spawn(self.elector.start())

    def pause(self) -> None:
        """Stop the process, as SIGSTOP does. Its connections stay open."""
        self.pauses += 1
        self.pod.history.note(self.pod.network.loop.time(), f"PAUSE {self.name}")
        self.owner.pause()

    def crash(self) -> None:
        """End the process, as SIGKILL does: every connection breaks."""
        self.owner.crash()
        self.pod.history.note(self.pod.network.loop.time(), f"CRASH {self.name}")
        for connection in list(self.connections):
            connection.server_gone()
        for stream in list(self.streams):
            stream.server_gone()

    async def stop(self) -> None:
        """End the process as SIGTERM does."""
        self.owner.context.run(self.elector.begin_stop)
        await asyncio.wait([self.owner.spawn(self.elector.stop())], timeout=10.0)
        self.crash()

    async def call(
        self, what: str, client: Owner, request: Callable[[Elector, Departure], Awaitable[T]], bound_seconds: float
    ) -> T:
        """One HTTP request from a process of the same pod.

        Raises:
            Problem: the elector's refusal.
            ConnectionError: the elector is not there, or its connection broke.
        """
        connection = Connection(self, what, client, request, bound_seconds)
        try:
            return await connection.answer
        finally:
            connection.close()


class Connection(Generic[T]):
    """One request from a client to its elector, and the answer."""

    def __init__(
        self,
        process: ElectorProcess,
        what: str,
        client: Owner,
        request: Callable[[Elector, Departure], Awaitable[T]],
        bound_seconds: float,
    ) -> None:
        network = process.pod.network
        self.answer: asyncio.Future[T] = network.loop.create_future()
        self._process = process
        self._what = what
        self._client = client
        self._request = request
        self._bound_seconds = bound_seconds
        self._network = network
        self._departure = Departure()
        process.connections[self] = None
        network.later(self._latency(), self._arrive)

    def close(self) -> None:
        """The client's side of the connection is gone, answered or not."""
        self._process.connections.pop(self, None)
        if not self.answer.done():
            self.answer.cancel()
            self._network.later(self._latency(), self._departure.note)

    def server_gone(self) -> None:
        """The server's side is gone: the client reads a reset."""
        self._network.later(self._latency(), lambda: self._fail(ConnectionResetError(f"{self._process.name} is gone")))

    def _arrive(self) -> None:
        if self._process.owner.life is Life.CRASHED:
            self._fail(ConnectionRefusedError(f"{self._process.name} does not listen"))
        else:
            self._process.owner.spawn(self._serve())

    async def _serve(self) -> None:
        """In the elector's process: carry out the request and send the answer."""
        process = self._process
        began, pauses = self._network.loop.time(), process.pauses
        outcome: object
        try:
            result = await self._request(process.elector, self._departure)
        except Problem as problem:
            outcome = error = problem
            self._network.later(self._latency(), lambda: self._fail(error))
        except Exception as error:  # noqa: BLE001
            if not self._network.loop.is_running():
                return  # The run is over: this is what a coroutine says that is closed half-way.
            process.pod.history.errors.append(f"{process.name} answered {self._what} with {error!r}")
            outcome = failure = ConnectionResetError("internal error")
            self._network.later(self._latency(), lambda: self._fail(failure))
        else:
            outcome = result
            self._network.later(self._latency(), lambda: self._succeed(result))
        took = (self._network.loop.time() - began) * process.pod.clock.rate
        bound = self._bound_seconds if process.pauses == pauses else float("inf")
        process.pod.history.calls.append(Call(self._what, self._client.name, began, took, bound, outcome))

    def _succeed(self, result: T) -> None:
        if not self.answer.done():
            self.answer.set_result(result)

    def _fail(self, error: Exception) -> None:
        if not self.answer.done():
            self.answer.set_exception(error)
            self.answer.exception()  # It counts as seen: its reader may have crashed.

    def _latency(self) -> float:
        return self._network.random.random() * LOOPBACK_SECONDS


class StreamConnection:
    """A client's stream. `events` gets one dict for each event, and None at its end.

    Through a proxy the elector sees the proxy's address, and the connection may break while both ends live.
    """

    def __init__(self, process: ElectorProcess, client_id: str, address: str, *, via_proxy: bool) -> None:
        self.address = address
        self.events: asyncio.Queue[dict[str, Any] | None] = asyncio.Queue()
        self._process = process
        self._network = process.pod.network
        self._client_id = client_id
        self._peer = f"127.0.0.1:{self._network.random.randrange(1024, 9999)}" if via_proxy else address
        self._stream: Any = None
        self._is_open = True
        self._due = 0.0
        process.streams[self] = None
        self._network.later(self._latency(), self._arrive)

    def broken(self) -> None:
        """The client's side is gone, by its death, its own closing or the proxy's."""
        self._network.later(self._latency(), self._note_end)

    def server_gone(self) -> None:
        """The elector's process is gone."""
        self._is_open = False
        self._push(None)

    def _arrive(self) -> None:
        if self._process.owner.life is not Life.CRASHED and self._is_open:
            self._process.owner.spawn(self._serve())
        else:
            self._push(None)

    async def _serve(self) -> None:
        try:
            self._stream = self._process.elector.open_stream(self._client_id, self._peer)
        except Problem:
            self._push(None)
            return
        if not self._is_open:
            self._stream.closed(by_peer=True)
        while self._is_open:
            event = await self._stream.next()
            self._push(event)
            if event is None:
                break
        self._process.streams.pop(self, None)

    def _note_end(self) -> None:
        self._is_open = False
        if self._process.owner.life is not Life.CRASHED and self._stream is not None:
            self._process.owner.spawn(self._tell_elector())

    async def _tell_elector(self) -> None:
        self._stream.closed(by_peer=True)

    def _push(self, event: dict[str, Any] | None) -> None:
        now = self._network.loop.time()
        self._due = max(self._due + 1e-9, now + self._latency())  # A connection keeps the order of what it carries.
        self._network.later(self._due - now, lambda: self.events.put_nowait(event))

    def _latency(self) -> float:
        return self._network.random.random() * LOOPBACK_SECONDS
