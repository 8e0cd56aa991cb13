"""One machine, with the electors and applications of a test on it. It ends what it started, by its pid."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from tests.processes.checker import stored_writes, violations
from tests.processes.electors import SHORT, ElectorProcess, Leases, free_port
from tests.processes.history import Event, HistoryReader
from tests.processes.members import Member
from tests.processes.raw_client import RawClient
from tests.processes.running import Process, wait_until
from tests.processes.workers import WorkerProcess

OUTPUT_CHARACTERS_SHOWN = 6_000


class Machine:
    """Starts processes in `folder`. Electors share one state folder, hence one store."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._ends: list[ElectorProcess | WorkerProcess | Process] = []
        self._electors: list[ElectorProcess] = []
        self._raw_clients: list[RawClient] = []
        self.measured: list[tuple[str, float, float]] = []
        self.checked: Counter[str] = Counter()

    def elector(self, leases: Leases = SHORT, *, with_metrics: bool = False) -> ElectorProcess:
        """A running elector."""
        elector = ElectorProcess(self._folder / "state", self._output("elector"), leases)
        elector.health_port = free_port() if with_metrics else 0
        self._ends.append(elector)
        self._electors.append(elector)
        return elector.start()

    def worker(
        self, elector: ElectorProcess | str, *, tells: bool = False, unavailable_seconds: float = 30.0
    ) -> WorkerProcess:
        """An application process. With `tells` it writes a loss down instead of ending by it."""
        url = elector if isinstance(elector, str) else elector.url
        output = self._output("worker")
        options = ["--tell"] * tells + ["--unavailable-seconds", str(unavailable_seconds)]
        worker = WorkerProcess(output.with_suffix(".history"), output, url, options)
        self._ends.append(worker)
        return worker

    def member(self, elector: ElectorProcess, *, unavailable_seconds: float = 30.0) -> Member:
        """An application process that uses semaphores, events, conditions and barriers."""
        output = self._output("member")
        member = Member(output.with_suffix(".history"), output, elector.url, [str(unavailable_seconds)])
        self._ends.append(member)
        return member

    def raw_client(self, elector: ElectorProcess | str) -> RawClient:
        """A client of the bare protocol, in this process, whose elector is ready."""
        client = RawClient(elector if isinstance(elector, str) else elector.url)
        self._raw_clients.append(client)
        wait_until(lambda: client.open().body.get("valid_seconds", 0.0) > 0, "a session for the raw client")
        return client

    def program(self, arguments: Sequence[str], environment: Mapping[str, str]) -> Process:
        """Any Python program."""
        process = Process(arguments, self._output("program"), environment)
        self._ends.append(process)
        return process

    def proxy(self, elector: ElectorProcess, port: int | None = None) -> tuple[str, Process]:
        """A TCP proxy in front of an elector: its URL, and its process."""
        port = port or free_port()
        process = self.program(["-m", "tests.processes.proxy_program", str(port), str(elector.port)], {})
        wait_until(lambda: "ready" in process.said(), "the proxy listens")
        return f"http://127.0.0.1:{port}", process

    def measure(self, what: str, seconds: float, promised: float) -> float:
        """Note a time for the table at the end of the run, and give it back."""
        self.measured.append((what, seconds, promised))
        return seconds

    def _output(self, kind: str) -> Path:
        return self._folder / f"{len(self._ends) + 1:02}-{kind}.output"

    def end(self) -> None:
        """End everything. The last started goes first."""
        for running in reversed(self._ends):
            running.end()
        for client in self._raw_clients:
            client.end()

    def events(self) -> list[Event]:
        """Everybody's history, in the order of time."""
        histories = [HistoryReader(file).events() for file in sorted(self._folder.glob("*.history"))]
        return sorted((event for history in histories for event in history), key=lambda event: event.at)

    def check(self) -> None:
        """Check all histories and the store.

        Raises:
            AssertionError: with every violation.
        """
        events, writes = self.events(), stored_writes(self._electors[0].store_path) if self._electors else []
        self.judge(events, len(writes), violations(events, writes))

    def judge(self, events: Sequence[Event], writes: int, found: Iterable[str]) -> None:
        """Count what was compared, and fail with every violation."""
        kinds = Counter(event.kind if event.kind != "ok" else event.what for event in events)
        self.checked.update(beliefs=kinds["belief"], acquisitions=kinds["acquire"], losses=kinds["told"], writes=writes)
        sentences = list(found)
        assert not sentences, "\n".join(sentences)

    def report(self) -> str:
        """What the processes printed, and what happened to them: for the reader of a failure."""
        parts = [
            f"----- {file.name} -----\n{file.read_text()[-OUTPUT_CHARACTERS_SHOWN:]}"
            for file in sorted(self._folder.glob("*.output"))
        ]
        happened = "\n".join(str(event) for event in self.events() if event.kind != "belief")
        return "\n".join([*parts, "----- events other than beliefs -----", happened[-4 * OUTPUT_CHARACTERS_SHOWN :]])
