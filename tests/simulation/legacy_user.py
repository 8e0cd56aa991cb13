"""A program of the original library: PUT without a body every 10 s, and nothing but the status of the answer."""

from __future__ import annotations

from random import Random

from elector_server.elector import Elector
from elector_server.problems import Problem
from metaparticle_sync import wire
from tests.simulation.history import Belief
from tests.simulation.pod import Departure, Pod
from tests.simulation.virtual_loop import Owner

HEARTBEAT_SECONDS = 10.0
CALL_SECONDS = 9.0

Answer = tuple[str, int] | None


class LegacyUser:
    """Believes for 12 s from the send of each request that was answered with 200; never releases."""

    def __init__(self, pod: Pod, name: str, random: Random) -> None:
        self.pod = pod
        self.name = f"legacy@{pod.name}"
        self.owner = Owner(pod.network.loop, self.name)
        self._lock = name
        self._random = random
        self._belief: Belief | None = None

    async def run(self, rounds_max: int) -> None:
        """Hold the lock for some rounds, if it can be had, then let it lapse; over and over."""
        while True:
            for _ in range(self._random.randint(1, rounds_max)):
                await self.put()
                await self.pod.clock.sleep(HEARTBEAT_SECONDS)
            await self.pod.clock.sleep(self._random.uniform(0.0, 2 * wire.LEGACY_HOLD_SECONDS))

    def crash(self) -> None:
        """The process dies."""
        self._end_belief()
        self.owner.crash()

    async def put(self) -> None:
        """One request, and what it makes this program believe."""
        sent_at = self.pod.clock.now()
        try:
            answer = await self._ask()
        except Problem:
            self._end_belief()
        except (ConnectionError, TimeoutError):
            return  # It goes on to believe until its time is over.
        else:
            self._take_in(answer, sent_at + wire.LEGACY_PROMISE_SECONDS)

    async def _ask(self) -> Answer:
        process = self.pod.current
        if process is None:
            raise ConnectionRefusedError(f"nobody listens at {self.pod.name}")

        async def put(elector: Elector, _: Departure) -> Answer:
            taken, _view = await elector.legacy_put(self._lock)
            lock = elector.names.get(self._lock)
            return (lock.hold.holder, lock.hold.token) if taken and lock is not None and lock.hold is not None else None

        async with self.pod.clock.timeout(CALL_SECONDS):
            return await process.call(f"legacy PUT {self._lock}", self.owner, put, CALL_SECONDS)

    def _take_in(self, answer: Answer, until: float) -> None:
        if answer is None:
            self._end_belief()
            return
        holder, token = answer
        now, ends_at = self.pod.network.loop.time(), self.pod.clock.virtual_time_of(until)
        belief = self._belief
        if ends_at <= now:
            return
        if belief is None or belief.holder != holder or belief.ended is None or belief.ended < now:
            self._end_belief()
            belief = self._belief = Belief(self._lock, self.name, holder, token, now)
            self.pod.history.beliefs.append(belief)
        belief.ended, belief.reason = ends_at, "12 s after its last PUT"

    def _end_belief(self) -> None:
        if self._belief is not None and self._belief.ended is not None:
            self._belief.ended = min(self._belief.ended, self.pod.network.loop.time())
        self._belief = None
