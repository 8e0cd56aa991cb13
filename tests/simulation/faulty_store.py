"""One elector's connection to the shared store: requests and answers are lost, late, repeated, refused, or stale.

Messages travel on their own: a process that gave up or crashed does not recall what it has sent.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from contextvars import Context
from random import Random
from types import TracebackType
from typing import Self, cast

from elector_server.store import (
    Change,
    Listing,
    OutcomeUnknown,
    Record,
    Spec,
    StoreError,
    StoreUnavailable,
    Watch,
    WatchExpired,
)
from tests.simulation.faults import DELAY_SECONDS_MAX, Faults, Plan, operation_like
from tests.simulation.recorder import Operation, SharedStore, Verb
from tests.simulation.virtual_loop import VirtualLoop

Answer = Record | Listing | StoreError | None

STALE_SECONDS_MAX = 60.0


class Network:
    """What lies between all electors and the store. It belongs to no process, so nothing pauses or crashes it."""

    def __init__(self, shared: SharedStore, loop: VirtualLoop, random: Random) -> None:
        self.shared = shared
        self.loop = loop
        self.random = random
        self.context = Context()
        self.counts: Counter[str] = Counter()
        self.travelling: dict[Exchange, None] = {}

    def later(self, seconds: float, action: Callable[[], object]) -> asyncio.TimerHandle:
        """Do `action` after some seconds, whoever is alive then."""
        return self.loop.call_later(seconds, action, context=self.context)

    def strikes(self, fault: str, probability: float) -> bool:
        """Whether a fault of this kind happens now."""
        if probability <= 0.0 or self.random.random() >= probability:
            return False
        self.counts[fault] += 1
        return True

    def long_delay(self) -> float:
        """Mostly seconds, at times a minute."""
        return DELAY_SECONDS_MAX * self.random.random() ** 3

    def settle(self) -> None:
        """The network is well again: what is still on its way arrives within moments, or never."""
        for exchange in list(self.travelling):
            exchange.settle()


class Exchange:
    """One request on its way to the store, and its answer on its way back."""

    def __init__(self, network: Network, faults: Faults, operation: Operation, plan: Plan | None) -> None:
        self.answer: asyncio.Future[Record | Listing | None] = network.loop.create_future()
        self._network = network
        self._faults = faults
        self._operation = operation
        self._plan = plan
        self._timer: asyncio.TimerHandle | None = None
        self._next: Callable[[], object] | None = None
        network.travelling[self] = None
        if plan is None:
            self._travel_by_chance()
        else:
            self._travel_by_plan(plan)

    def settle(self) -> None:
        """Arrive soon, or never."""
        if self._timer is None or self._timer.cancelled() or self._next is None:
            return
        self._timer.cancel()
        if self._network.random.random() < 0.5:
            self._after(self._network.random.uniform(0.0, 2.0), self._next)
        else:
            self._vanish()

    def _travel_by_plan(self, plan: Plan) -> None:
        plan.sent.set()
        if plan.refuse:
            self._after(self._latency(), lambda: self._arrive(StoreUnavailable("refused by the script")))
        elif plan.lose_request:
            self._lose(plan.fail_after_seconds)
        elif plan.hold_request:
            plan.request_gate.when_open(lambda: self._after(self._latency(), self._land))
        else:
            self._after(self._latency(), self._land)
        if plan.repeat:
            plan.copy_gate.when_open(lambda: self._network.later(self._latency(), self._land_again))

    def _travel_by_chance(self) -> None:
        network, faults = self._network, self._faults
        if faults.outage:
            network.counts["outage"] += 1
            self._fail_in_outage()
        elif network.strikes("refuse", faults.refuse):
            self._after(self._latency(), lambda: self._arrive(StoreUnavailable("refused by chance")))
        elif network.strikes("lose_request", faults.lose_request):
            self._lose(self._patience())
        elif network.strikes("delay_request", faults.delay_request):
            self._after(network.long_delay(), self._land)
        else:
            self._after(self._latency(), self._land)
        if self._operation.writes and network.strikes("repeat", faults.repeat):
            network.later(network.long_delay(), self._land_again)

    def _fail_in_outage(self) -> None:
        if self._network.random.random() < 0.5:
            self._after(self._latency(), lambda: self._arrive(StoreUnavailable("connection refused")))
        else:
            self._lose(self._patience())

    def _land(self) -> None:
        """The request is at the store, which carries it out."""
        answer = self._carry_out()
        plan, faults, network = self._plan, self._faults, self._network
        if plan is not None:
            plan.applied.set()
            if plan.lose_answer:
                self._lose(plan.fail_after_seconds)
            elif plan.hold_answer:
                plan.answer_gate.when_open(lambda: self._after(self._latency(), lambda: self._arrive(answer)))
            else:
                self._after(self._latency(), lambda: self._arrive(answer))
        elif faults.outage or network.strikes("lose_answer", faults.lose_answer):
            self._lose(self._patience())
        elif network.strikes("delay_answer", faults.delay_answer):
            self._after(network.long_delay(), lambda: self._arrive(answer))
        else:
            self._after(self._latency(), lambda: self._arrive(answer))

    def _land_again(self) -> None:
        """A second copy of the request; nobody hears what became of it."""
        self._carry_out()
        if self._plan is not None:
            self._plan.copied.set()

    def _carry_out(self) -> Answer:
        shared, network = self._network.shared, self._network
        try:
            if not self._operation.writes:
                moment = self._stale_moment()
                if moment is not None:
                    return shared.apply_as_of(self._operation, moment)
            return shared.apply(self._operation)
        except StoreError as error:
            network.counts[type(error).__name__] += 1
            return error

    def _stale_moment(self) -> float | None:
        if self._plan is not None:
            return self._plan.stale_at
        if not self._network.strikes("stale", self._faults.stale):
            return None
        return self._network.loop.time() - self._network.random.uniform(0.0, STALE_SECONDS_MAX)

    def _arrive(self, answer: Answer) -> None:
        self._vanish()
        if self.answer.done():
            return
        if isinstance(answer, StoreError):
            self.answer.set_exception(answer)
            self.answer.exception()  # It counts as seen: its reader may have crashed.
        else:
            self.answer.set_result(answer)

    def _lose(self, fail_after_seconds: float | None) -> None:
        """No answer will come. After some time the sender's connection says so; or never, then it has to give up."""
        if fail_after_seconds is None:
            self._vanish()
        else:
            self._after(fail_after_seconds, lambda: self._arrive(OutcomeUnknown("the connection broke")))

    def _patience(self) -> float | None:
        return self._network.random.uniform(0.0, 10.0) if self._network.random.random() < 0.5 else None

    def _latency(self) -> float:
        return self._network.random.random() * self._faults.latency_seconds

    def _after(self, seconds: float, action: Callable[[], object]) -> None:
        self._next = action
        self._timer = self._network.later(seconds, action)

    def _vanish(self) -> None:
        self._network.travelling.pop(self, None)


class StoreHandle:
    """Implements `elector_server.store.Store` for one elector process."""

    def __init__(self, network: Network, faults: Faults, sender: str) -> None:
        self.sender = sender
        self.faults = faults
        self.sent: Counter[tuple[str, str]] = Counter()
        self._network = network
        self._plans: list[Plan] = []

    def plan(
        self,
        verb: Verb | None = None,
        kind: str | None = None,
        name: str | None = None,
        where: Callable[[Operation], bool] | None = None,
        **script: bool | float | None,
    ) -> Plan:
        """Decide what becomes of the next operations like this; see `Plan` for the script."""
        plan = Plan(operation_like(verb, kind, name, where), **script)  # type: ignore[arg-type]
        self._plans.append(plan)
        return plan

    def forget_plans(self) -> None:
        """No script any more from now on; what is on its way stays scripted."""
        self._plans.clear()

    @property
    def plans_left(self) -> int:
        """How many operations are still to come that a plan decides."""
        return sum(plan.times for plan in self._plans)

    async def get(self, kind: str, name: str) -> Record | None:
        return cast("Record | None", await self._ask(Operation(self.sender, "get", kind, name)))

    async def list(self, kind: str, *, session: str | None = None, name: str | None = None) -> Listing:
        operation = Operation(self.sender, "list", kind, name or "", session=session)
        return cast("Listing", await self._ask(operation))

    async def create(self, kind: str, name: str, session: str, spec: Spec) -> Record:
        operation = Operation(self.sender, "create", kind, name, session=session, spec=spec)
        return cast("Record", await self._ask(operation))

    async def replace(self, kind: str, name: str, version: int, session: str, spec: Spec) -> Record:
        operation = Operation(self.sender, "replace", kind, name, version, session, spec)
        return cast("Record", await self._ask(operation))

    async def delete(self, kind: str, name: str, version: int) -> None:
        await self._ask(Operation(self.sender, "delete", kind, name, version))

    def watch(self, kind: str, since: int, *, name: str | None = None, session: str | None = None) -> Watch:
        return FaultyWatch(
            self._network, self.faults, self._network.shared.watch(kind, since, name=name, session=session)
        )

    async def close(self) -> None:
        """The shared store stays open for the others."""

    async def _ask(self, operation: Operation) -> Record | Listing | None:
        self.sent[(operation.verb, operation.kind)] += 1
        plan = next((plan for plan in self._plans if plan.take(operation)), None)
        return await Exchange(self._network, self.faults, operation, plan).answer


class FaultyWatch:
    """A watch whose changes come late or never, that hangs or ends without need."""

    def __init__(self, network: Network, faults: Faults, inner: Watch) -> None:
        self._network = network
        self._faults = faults
        self._inner = inner
        self._waiting: Change | None = None
        self._due = 0.0
        self._hung_until: float | None = None

    async def __aenter__(self) -> Self:
        if self._faults.outage:
            raise StoreUnavailable("connection refused")
        await self._inner.__aenter__()
        if self._network.strikes("watch_hang", self._faults.watch_hang):
            self._hung_until = self._network.loop.time() + self._network.long_delay()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._inner.__aexit__(kind, error, trace)

    async def next(self) -> Change:
        while True:
            if self._hung_until is not None:
                await self._sleep_until(self._hung_until)
                raise WatchExpired("the connection hung, and broke at last")
            change = await self._change()
            if self._network.strikes("watch_end", self._faults.watch_end):
                raise WatchExpired("ended by chance")
            if self._faults.outage:
                self._hung_until = self._network.loop.time() + self._network.random.uniform(0.0, 20.0)
            elif not self._network.strikes("watch_skip", self._faults.watch_skip):
                return change

    async def _change(self) -> Change:
        """The next change when it is due; it stays the next one if the caller gives up before."""
        if self._waiting is None:
            self._waiting = await self._inner.next()
            self._due = self._network.loop.time() + self._network.random.random() * self._faults.latency_seconds
            if self._network.strikes("watch_late", self._faults.watch_late):
                self._due += self._network.long_delay()
        await self._sleep_until(self._due)
        change, self._waiting = self._waiting, None
        return change

    async def _sleep_until(self, moment: float) -> None:
        await asyncio.sleep(max(0.0, moment - self._network.loop.time()))
