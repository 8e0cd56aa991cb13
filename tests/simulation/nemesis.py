"""The adversary of a random run: which kinds of fault a run has, when they strike, and how it all heals."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from elector_server.durations import Durations
from tests.simulation.client import SimulatedClient
from tests.simulation.faults import PROBABILITIES
from tests.simulation.pod import ElectorProcess, Pod
from tests.simulation.virtual_loop import Life, Owner
from tests.simulation.world import World

STEPS_BEFORE_STRIKE_MAX = 60


@dataclass(frozen=True, slots=True)
class Mischief:
    """One kind of fault, how often it is drawn beside the others, and what it does."""

    name: str
    weight: float
    strike: Callable[[], object]


class Nemesis:
    """Strikes until it is told to heal. Each run has some kinds of fault only, so that few drown the others out."""

    def __init__(self, world: World, seed: object, on_new_client: Callable[[SimulatedClient], object]) -> None:
        self._world = world
        self._random = Random(f"nemesis of {seed}")
        self._on_new_client = on_new_client
        self._lease_seconds = max(pod.durations.lease_seconds for pod in world.pods)
        self._active = True
        kinds = [
            Mischief("pause_elector", 3, self._pause_elector),
            Mischief("pause_client", 1, self._pause_client),
            Mischief("pause_machine", 1, self._pause_machine),
            Mischief("crash_elector", 3, self._crash_elector),
            Mischief("stop_elector", 2, self._stop_elector),
            Mischief("reboot", 0.5, self._reboot),
            Mischief("crash_client", 2, self._crash_client),
            Mischief("break_stream", 2, self._break_stream),
            Mischief("partition", 3, self._partition),
            Mischief("bad_network", 4, self._bad_network),
            Mischief("twin", 1, self._twin),
            Mischief("delete_session", 0.7, self._delete_session),
        ]
        count = self._random.randint(1, len(kinds))
        self._kinds = self._random.sample(kinds, count)

    async def run(self, seconds: float, strikes_per_lease: float) -> None:
        """Strike at random moments for so long."""
        until = self._world.loop.time() + seconds
        while True:
            await asyncio.sleep(self._random.expovariate(strikes_per_lease / self._lease_seconds))
            if self._world.loop.time() >= until:
                return
            (kind,) = self._random.choices(self._kinds, [kind.weight for kind in self._kinds])
            self._note(kind.name)
            kind.strike()

    def heal(self) -> None:
        """Everything works from now on: one elector on each pod, nobody paused, a good network."""
        self._active = False
        for pod in self._world.pods:
            pod.faults.heal()
            self._heal_pod(pod)
        for client in self._world.clients:
            client.owner.resume()
            client.process = None
        for user in self._world.legacy_users:
            user.owner.resume()
        self._world.network.settle()
        self._world.history.healed_at = self._world.loop.time()

    def _heal_pod(self, pod: Pod) -> None:
        alive = [process for process in pod.processes if process.owner.life is not Life.CRASHED]
        for process in alive[:-1]:
            process.crash()
        if alive:
            alive[-1].owner.resume()
        else:
            self._start_again(pod)

    def _note(self, fault: str) -> None:
        self._world.history.note_fault(fault, self._world.loop.time())

    def _later(self, seconds: float, action: Callable[[], object]) -> None:
        """Do `action` after some seconds, unless everything has healed by then."""
        self._world.network.later(seconds, lambda: action() if self._active else None)

    def _seconds(self, leases_max: float) -> float:
        """Mostly short, at times several leases."""
        return self._lease_seconds * leases_max * self._random.random() ** 2

    def _pod(self) -> Pod:
        return self._random.choice(self._world.pods)

    def _elector(self) -> ElectorProcess | None:
        alive = [process for process in self._world.electors() if process.owner.life is Life.RUNNING]
        return self._random.choice(alive) if alive else None

    def _client(self) -> SimulatedClient | None:
        alive = [client for client in self._world.clients if client.owner.life is Life.RUNNING]
        return self._random.choice(alive) if alive else None

    def _at_any_await(self, owner: Owner, action: Callable[[], object]) -> None:
        """Now, or in the midst of what this process does next."""
        if self._random.random() < 0.3:
            action()
        else:
            owner.after_steps(self._random.randint(1, STEPS_BEFORE_STRIKE_MAX), lambda: self._active and action())

    # Pauses ---------------------------------------------------------------------------------------------------------

    def _pause_elector(self) -> None:
        process = self._elector()
        if process is not None:
            seconds = self._seconds(3)
            self._at_any_await(process.owner, lambda: self._pause(process, seconds))

    def _pause(self, process: ElectorProcess, seconds: float) -> None:
        process.pause()
        self._later(seconds, process.owner.resume)

    def _pause_client(self) -> None:
        client = self._client()
        if client is not None:
            client.owner.pause()
            self._later(self._seconds(3), client.owner.resume)

    def _pause_machine(self) -> None:
        pod, seconds = self._pod(), self._seconds(3)
        for process in pod.processes:
            self._pause(process, seconds)
        for user in self._world.legacy_users:
            if user.pod is pod:
                user.owner.pause()
                self._later(seconds, user.owner.resume)
        for client in self._world.clients:
            if client.pod is pod:
                client.owner.pause()
                self._later(seconds, client.owner.resume)

    # Deaths ---------------------------------------------------------------------------------------------------------

    def _crash_elector(self) -> None:
        process = self._elector()
        if process is not None:
            seconds = self._seconds(1.5) if self._random.random() < 0.5 else self._random.random()
            self._at_any_await(process.owner, lambda: self._crash(process, seconds))

    def _crash(self, process: ElectorProcess, seconds: float) -> None:
        process.crash()
        self._later(seconds, lambda: self._start_again(process.pod))

    def _start_again(self, pod: Pod) -> None:
        """The next life of a pod's elector, at times with another lease in its settings."""
        if pod.current is None:
            durations = pod.durations
            if self._random.random() < 0.3:
                factor = self._random.choice([0.5, 1.0, 2.0])
                durations = Durations(max(4.0, durations.lease_seconds * factor), durations.client_ttl_seconds)
            pod.start_elector(durations)

    def _stop_elector(self) -> None:
        process = self._elector()
        if process is not None:
            asyncio.get_running_loop().create_task(self._stop(process, self._seconds(1)))

    async def _stop(self, process: ElectorProcess, seconds: float) -> None:
        await process.stop()
        if self._active:
            self._later(seconds, lambda: self._start_again(process.pod))
        else:
            self._start_again(process.pod)

    def _reboot(self) -> None:
        """The whole machine goes down: nobody closes a connection in an orderly way."""
        pod = self._pod()
        for client in self._world.clients:
            if client.pod is pod and client.owner.life is not Life.CRASHED:
                client.silent_death = True
                client.crash()
        for user in self._world.legacy_users:
            if user.pod is pod:
                user.crash()
        for process in pod.processes:
            process.crash()
        pod.boots += 1
        self._later(self._seconds(1), lambda: self._start_again(pod))
        self._later(self._seconds(1), lambda: self._on_new_client(self._world.add_client(pod)))

    def _crash_client(self) -> None:
        client = self._client()
        if client is None:
            return
        client.silent_death = self._random.random() < 0.3
        self._at_any_await(client.owner, client.crash)
        pod = client.pod
        self._later(self._seconds(1), lambda: self._on_new_client(self._world.add_client(pod)))

    def _twin(self) -> None:
        """A second process under the same identity, with a client of its own: somebody copied a pod by hand."""
        pod = self._pod()
        if len([process for process in pod.processes if process.owner.life is not Life.CRASHED]) != 1:
            return
        process = pod.start_elector()
        client = self._world.add_client(pod)
        client.process = process
        self._on_new_client(client)
        for other in self._world.clients:
            if other.pod is pod and other is not client and other.process is None:
                other.process = pod.processes[-2]
        self._later(self._seconds(3), process.crash)

    # The way to the store -------------------------------------------------------------------------------------------

    def _break_stream(self) -> None:
        proxied = [c for c in self._world.clients if c.via_proxy and c.owner.life is Life.RUNNING]
        if proxied:
            self._random.choice(proxied).break_stream()

    def _partition(self) -> None:
        """One pod, or all of them, can't reach the store."""
        pods = list(self._world.pods) if self._random.random() < 0.2 else [self._pod()]
        seconds = self._seconds(2)
        for pod in pods:
            pod.faults.outage = True
            self._later(seconds, lambda pod=pod: setattr(pod.faults, "outage", False))  # type: ignore[misc]

    def _bad_network(self) -> None:
        pod = self._pod()
        for fault in self._random.sample(PROBABILITIES, self._random.randint(1, 4)):
            setattr(pod.faults, fault, self._random.choice([0.05, 0.2, 0.6]))
        pod.faults.latency_seconds = self._random.choice([0.005, 0.05, 0.5])
        self._later(self._seconds(4), pod.faults.heal)

    def _delete_session(self) -> None:
        """An operator deletes the session record of somebody: allowed, though not wise."""
        records = self._world.shared.records("session")
        if records:
            self._world.shared.by_hand("delete", "session", self._random.choice(records).name)
