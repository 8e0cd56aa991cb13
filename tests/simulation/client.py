"""An application process as the client library makes it: one keeper for all its holds, and beliefs with deadlines.

It talks to the elector's facade as the library talks to it over HTTP. All times are of the clock of its own machine.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from random import Random
from typing import Any, TypeVar

from elector_server.acquisitions import StillWaiting
from elector_server.client_sessions import PresentedHold
from elector_server.elector import Elector
from elector_server.problems import HolderDead, LockHeld, NotHeld, Problem, UnknownClient
from elector_server.rules.lock import KIND as LOCK
from tests.simulation.history import Attempt, Belief, Check
from tests.simulation.holds import ClientHold
from tests.simulation.pod import Departure, ElectorProcess, Pod, StreamConnection
from tests.simulation.virtual_loop import Life, Owner

T = TypeVar("T")

POLL_SECONDS_MAX = 25.0
SESSION_CALL_SECONDS = 3.0
RETRY_SECONDS = 0.3

NotNow = (Problem, ConnectionError, TimeoutError)


class SimulatedClient:
    """One process, its keeper and its programs."""

    def __init__(self, pod: Pod, name: str, random: Random, *, via_proxy: bool = False) -> None:
        network = pod.network
        self.pod = pod
        self.name = name
        self.id = f"{random.getrandbits(128):032x}"
        self.owner = Owner(network.loop, name)
        self.random = random
        self.holds: dict[str, ClientHold] = {}
        self.process: ElectorProcess | None = None
        """The elector process to talk to; None: whichever listens on the pod's port."""
        self.silent_death = False
        self.losses_told: set[str] = set()
        self._loop = network.loop
        self._clock = pod.clock
        self.via_proxy = via_proxy
        self.incarnation = ""
        self.operations: dict[str, int] = {}
        """By semaphore, how many operations it had seen when an elector last told."""
        self._incarnation_sent_at = float("-inf")
        self._deadline = float("-inf")
        self._tick_seconds = 2.0
        self._acknowledged: list[str] = []
        self._stream: StreamConnection | None = None
        self._known = False
        self._soon = asyncio.Event()
        self._opened = False

    # Life -----------------------------------------------------------------------------------------------------------

    def run(self, program: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Run a program in this process."""
        return self.owner.spawn(program, f"program of {self.name}")

    def crash(self) -> None:
        """The process dies; its connections end, unless it dies with its machine or behind a proxy that lives on."""
        now = self._loop.time()
        for hold in list(self.holds.values()):
            self._end_belief(hold, now, "crashed")
        self._die()
        if self._stream is not None and not self.silent_death:
            self._stream.broken()

    def _die(self) -> None:
        self.owner.crash()
        self.pod.history.dead.add(self.name)

    @property
    def knows_elector(self) -> bool:
        """Whether it has ever opened its session."""
        return self._opened

    def break_stream(self) -> None:
        """What a proxy between does when it dies: the connection ends and both ends live."""
        if self._stream is not None and self.via_proxy:
            self._stream.broken()
            self._stream.server_gone()

    def now(self) -> float:
        """The time by this machine's clock."""
        return self._clock.now()

    # Belief ---------------------------------------------------------------------------------------------------------

    def deadline_of(self, hold: ClientHold) -> float:
        """Until when this hold may be believed in."""
        return self._deadline if hold.incarnation == self.incarnation else hold.old_deadline

    def believes(self, key: str) -> bool:
        """Whether this process holds a lock, or a permit, as far as it can be sure right now."""
        hold = self.holds.get(key)
        if hold is None or hold.belief is None:
            return False
        if self.now() >= self.deadline_of(hold):
            self.drop(hold, "its deadline passed")
            self.give_back(hold.name, hold.holder, hold.kind)
            return False
        return True

    def check(self, name: str) -> bool:
        """Ask, and use the token at once if the answer is yes."""
        hold = self.holds.get(name)
        believed = self.believes(name)
        if hold is not None:
            at = self._loop.time()
            self.pod.history.checks.append(Check(at, name, self.name, hold.holder, hold.token, believed))
        return believed

    def drop(self, hold: ClientHold, reason: str) -> None:
        """Stop believing in a hold."""
        hold.old_deadline = self.deadline_of(hold)  # It may be released under another incarnation.
        if self.holds.get(hold.key) is hold:
            del self.holds[hold.key]
        self._end_belief(hold, self._loop.time(), reason)

    def _end_belief(self, hold: ClientHold, at: float, reason: str) -> None:
        belief = hold.belief
        if belief is not None and belief.ended is None:
            belief.ended = max(belief.began, min(at, self._clock.virtual_time_of(self.deadline_of(hold))))
            belief.reason = reason

    def end_of_run(self) -> None:
        """Close the spans of belief that are still open."""
        for hold in list(self.holds.values()):
            self._end_belief(hold, self._loop.time(), "end of the run")

    def _begin_belief(self, hold: ClientHold) -> None:
        if hold.belief is None and self.now() < self.deadline_of(hold):
            at = self._loop.time()
            hold.belief = Belief(hold.name, self.name, hold.holder, hold.token, at)
            history = self.pod.history
            (history.beliefs if hold.kind == LOCK else history.permits).append(hold.belief)

    # Keeper ---------------------------------------------------------------------------------------------------------

    async def open(self) -> None:
        """Open the client session, at the first acquisition."""
        if not self._opened:
            self._opened = True
            self.owner.spawn(self._keep())
            self.owner.spawn(self._listen())
            self.owner.spawn(self._watch_deadlines())
        while not self._known:
            await self._attach()
            if not self._known:
                await self.rest()

    async def _keep(self) -> None:
        while True:
            try:
                async with self._clock.timeout(self._seconds_to_next_heartbeat()):
                    await self._soon.wait()
            except TimeoutError:
                pass
            self._soon.clear()
            if not await self._heartbeat():
                await self.rest()
                self._soon.set()

    def _seconds_to_next_heartbeat(self) -> float:
        """A tick, or sooner if there is something to lose and little time is left."""
        tick = self._tick_seconds * self.random.uniform(0.9, 1.0)
        return min(tick, max(RETRY_SECONDS, (self._deadline - self.now()) / 2)) if self.holds else tick

    async def _heartbeat(self) -> bool:
        """Say that this process lives. False if that has to be tried again soon."""
        if not self._known or self._has_undecided():
            return await self._attach()
        sent_at, acknowledged = self.now(), tuple(self._acknowledged)
        try:
            status = await self.call(
                "heartbeat", lambda elector, _: elector.heartbeat(self.id, acknowledged, self._address()), 0.0
            )
        except UnknownClient:
            self._known = False
            return await self._attach()
        except NotNow:
            return False
        for holder in acknowledged:
            if holder in self._acknowledged:
                self._acknowledged.remove(holder)
        return self._take_in(status, sent_at, attached=False)

    async def _attach(self) -> bool:
        sent_at = self.now()
        holds = [
            PresentedHold(hold.name, hold.holder, hold.token, hold.kind, hold.incarnation)
            for hold in self.holds.values()
        ]
        try:
            status = await self.call(
                "open_client", lambda elector, _: elector.open_client(self.id, self.name, holds, self._address()), 0.0
            )
        except NotNow:
            return False
        self._known = True
        return self._take_in(status, sent_at, attached=True)

    def _take_in(self, status: Any, sent_at: float, *, attached: bool) -> bool:
        """What an answer says about this client's time and holds. False if it must attach again."""
        for loss in status.lost:
            self._note_loss(loss.name, loss.holder, loss.reason)
        if status.incarnation != self.incarnation:
            if sent_at < self._incarnation_sent_at:
                return True
            self._change_incarnation(status.incarnation)
            self._deadline = sent_at + status.valid_seconds
            if not attached:
                self._known = False
        else:
            self._deadline = max(self._deadline, sent_at + status.valid_seconds)
        self._incarnation_sent_at = sent_at
        self._tick_seconds = status.tick_seconds
        for hold in list(self.holds.values()):
            if hold.holder in status.holds:
                hold.incarnation = status.incarnation
            self._begin_belief(hold)
        return self._known and not self._has_undecided()

    def _has_undecided(self) -> bool:
        """Whether the elector has not said yet what became of a hold of another incarnation."""
        return any(hold.incarnation != self.incarnation for hold in self.holds.values())

    def _change_incarnation(self, incarnation: str) -> None:
        """Another session or another life of the elector: what was certain stays so until its old deadline."""
        for hold in self.holds.values():
            if hold.incarnation == self.incarnation:
                hold.old_deadline = self._deadline
        self.incarnation = incarnation

    def _note_loss(self, name: str, holder: str, reason: str) -> None:
        self.losses_told.add(holder)
        hold = self.holds.get(holder) or self.holds.get(name)
        if hold is not None and hold.holder == holder:
            self.drop(hold, f"told: {reason}")
        if holder not in self._acknowledged:
            self._acknowledged.append(holder)

    async def _watch_deadlines(self) -> None:
        """Notice a deadline when it passes, even if the program never asks."""
        while True:
            for key in list(self.holds):
                self.believes(key)
            deadlines = [self.deadline_of(hold) - self.now() for hold in self.holds.values() if hold.belief]
            await self._clock.sleep(max(0.01, min([self._tick_seconds, *deadlines])))

    async def _listen(self) -> None:
        """Keep one stream open; its end proves this process's death to the elector."""
        while True:
            process = self._elector_process()
            if process is None or not self._known:
                await self._clock.sleep(RETRY_SECONDS)
                continue
            address = f"127.0.0.1:{self.random.randrange(10000, 60000)}"
            self._stream = StreamConnection(process, self.id, address, via_proxy=self.via_proxy)
            while (event := await self._stream.events.get()) is not None:
                if event["event"] == "attached":
                    self._soon.set()
                elif event["event"] == "lost":
                    self._note_loss(event["name"], event["holder"], event["reason"])
            self._stream = None
            self._soon.set()
            await self.rest()

    def _address(self) -> str | None:
        return self._stream.address if self._stream is not None else None

    # Locks ----------------------------------------------------------------------------------------------------------

    async def acquire(self, name: str, seconds: float, holder: str | None = None) -> ClientHold | None:
        """Acquire within `seconds`, by a row of long polls; None if that did not work."""
        began, give_up_at = self._loop.time(), self.now() + seconds
        hold = await self._acquire(name, give_up_at, holder or self.new_holder())
        self.pod.history.attempts.append(Attempt(name, self.name, began, self._loop.time(), hold is not None))
        return hold

    async def _acquire(self, name: str, give_up_at: float, holder: str) -> ClientHold | None:
        await self.open()
        while True:
            wait_seconds = min(POLL_SECONDS_MAX, max(0.0, give_up_at - self.now()))
            sent_at = self.now()
            try:
                answer = await self.poll(name, holder, wait_seconds)
            except HolderDead:
                holder = self.new_holder()
            except UnknownClient:
                await self.attach()
            except LockHeld:
                pass
            except NotNow:
                await self.rest()
            else:
                if not isinstance(answer, StillWaiting):
                    hold = ClientHold(name, holder, answer.token, answer.incarnation)
                    if await self.granted(hold, answer.valid_seconds, sent_at):
                        return hold
                    holder = self.new_holder()
            if self.now() >= give_up_at:
                self.give_back(name, holder)
                return None

    async def poll(self, name: str, holder: str, wait_seconds: float) -> Any:
        """One long poll, and the elector's answer."""
        return await self.call(
            f"acquire {name}",
            lambda elector, departure: elector.acquire(name, self.id, holder, wait_seconds, departure),
            wait_seconds,
        )

    async def granted(self, hold: ClientHold, valid_seconds: float, sent_at: float) -> bool:
        """Take in what an elector has granted; whether it can be believed in."""
        self.holds[hold.key] = hold
        if hold.incarnation == self.incarnation:
            self._deadline = max(self._deadline, sent_at + valid_seconds)
            self._begin_belief(hold)
        for _ in range(3):
            if self.believes_without_notice(hold):
                return True
            if self.holds.get(hold.key) is not hold:
                break
            await (self._heartbeat() if hold.incarnation == self.incarnation else self._attach())
        if self.believes_without_notice(hold):
            return True
        self.drop(hold, "could not be confirmed")
        self.give_back(hold.name, hold.holder, hold.kind)
        return False

    def believes_without_notice(self, hold: ClientHold) -> bool:
        """Whether `hold` is valid now, without giving it up if it is not."""
        return self.holds.get(hold.key) is hold and self.now() < self.deadline_of(hold)

    async def release(self, hold: ClientHold) -> None:
        """Stop believing, then give the lock back; go on trying in the background if the elector is away."""
        self.drop(hold, "released")
        self.give_back(hold.name, hold.holder, hold.kind)

    async def release_of(self, name: str, holder: str) -> bool:
        """Ask the elector to release a holder id, whoever it belongs to; whether it agreed."""
        try:
            await self.call(f"release {name}", lambda elector, _: elector.release(name, self.id, holder), 0.0)
        except NotHeld:
            return False
        return True

    def give_back(self, name: str, holder: str, kind: str = LOCK) -> None:
        """Release a hold or withdraw a waiter, for as long as that takes."""
        self.owner.spawn(self._give_back(name, holder, kind), f"release by {self.name}")

    async def _give_back(self, name: str, holder: str, kind: str) -> None:
        def release(elector: Elector, _: Departure) -> Awaitable[bool]:
            give_up = elector.release if kind == LOCK else elector.semaphores.give_up
            return give_up(name, self.id, holder)

        while True:
            try:
                await self.call(f"release {name}", release, 0.0)
            except (NotHeld, HolderDead):
                return
            except NotNow:
                await self.rest()
            else:
                return

    async def rest(self) -> None:
        """A moment between two tries."""
        await self._clock.sleep(RETRY_SECONDS * self.random.uniform(0.5, 1.5))

    async def attach(self) -> None:
        """The elector does not know this process: open the session again."""
        self._known = False
        await self._attach()

    async def close_surely(self) -> None:
        """End in an orderly way, however long that takes."""
        while True:
            try:
                return await self.close()
            except NotNow:
                await self.rest()

    async def close(self) -> None:
        """End in an orderly way: believe in nothing, then close the session."""
        for hold in list(self.holds.values()):
            self.drop(hold, "closed")
        await self.call("close_client", lambda elector, _: elector.close_client(self.id), 0.0)
        self._die()

    def new_holder(self) -> str:
        """A fresh holder id."""
        return f"{self.random.getrandbits(128):032x}"

    async def call(self, what: str, request: Callable[[Elector, Departure], Awaitable[T]], wait_seconds: float) -> T:
        """One request to the elector.

        Raises:
            Problem, ConnectionError, TimeoutError: it refuses, or does not answer.
        """
        process = self._elector_process()
        if process is None:
            raise ConnectionRefusedError(f"nobody listens at {self.pod.name}")
        async with self._clock.timeout(wait_seconds + SESSION_CALL_SECONDS):
            return await process.call(what, self.owner, request, wait_seconds)

    def _elector_process(self) -> ElectorProcess | None:
        if self.process is not None:
            return self.process if self.process.owner.life is not Life.CRASHED else None
        return self.pod.current
