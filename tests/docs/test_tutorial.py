"""`docs/tutorial.md`, walked through: its files are saved, its commands typed, and the terminals show what it says."""

from __future__ import annotations

import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from elector_server.announcement import announcement
from elector_server.config import Settings
from tests.docs.calls import begin, calls
from tests.docs.elector import DocumentedElector
from tests.docs.likeness import Likeness
from tests.docs.pages import TUTORIAL, Block, blocks
from tests.processes.running import ROOT, Process, wait_until

_FILE = re.compile(r"# (\w+\.py)\n")
_SHORT_LEASE = ("--store", "memory", "--lease-seconds", "4", "--client-ttl-seconds", "4")


class Terminal:
    """One program of the tutorial. Where the page says `pid`, it has another one."""

    def __init__(self, folder: Path, script: str, pid: str, url: str) -> None:
        self._output = folder / f"{script}.{pid}.output"
        self._process = Process([str(folder / script)], self._output, _environment(url))
        self._pid = pid
        self._shown = 0

    def press_enter(self) -> None:
        self._process.tell("")

    def kill(self, number: signal.Signals) -> None:
        self._process.known.signal(number)

    def shows(self, block: Block, likeness: Likeness) -> None:
        """What appears next is what the block shows (without its command)."""
        expected = [line for line in block.text.splitlines() if not line.startswith("$ ")]
        text = wait_until(lambda: self._new_text(len(expected)), f"what {block.place} shows")
        self._shown += len(text)
        likeness.check("\n".join(expected), self.documented(text).strip())

    def _new_text(self, lines: int) -> str:
        """What was printed since the last look, once there is enough of it. The last line may not be complete yet."""
        text = self._output.read_text()[self._shown :].lstrip("\n")
        enough = text.count("\n") >= lines or (text.count("\n") == lines - 1 and text.endswith("release "))
        return text if enough else ""

    def documented(self, text: str) -> str:
        """A text with the page's process id in it."""
        return re.sub(rf"\b{self._process.pid}\b", self._pid, text)

    def end(self) -> None:
        self._process.end()


class Desk:
    """Some terminals, and the page beside them, read block by block."""

    def __init__(self, folder: Path, headings: tuple[str, ...]) -> None:
        self._folder = folder
        self._terminals: list[Terminal] = []
        self._blocks = iter(_section(*headings))
        self.likeness = Likeness()
        for block in blocks(TUTORIAL, "python"):
            if name := _FILE.match(block.text):
                (folder / name[1]).write_text(block.text)

    def next_block(self, command: str = "") -> Block:
        """The next block of the section, which begins with this command."""
        block = next(self._blocks)
        expected = f"$ {command}" if command else "47"
        assert block.text.startswith(expected), block.place
        return block

    def open(self, script: str, pid: str, elector: DocumentedElector) -> Terminal:
        terminal = Terminal(self._folder, script, pid, elector.url)
        self._terminals.append(terminal)
        return terminal

    def end(self) -> None:
        for terminal in self._terminals:
            terminal.end()
        assert next(self._blocks, None) is None, "the section shows more than this test does"


def _section(*headings: str) -> list[Block]:
    """The blocks to type, of the sections with these numbers."""
    found, inside, number = [], False, 0
    by_line = {block.line: block for block in blocks(TUTORIAL, "console")}
    for number, line in enumerate(TUTORIAL.read_text().splitlines(), start=1):
        if line.startswith("## "):
            inside = line[3:].startswith(headings)
        if inside and number in by_line:
            found.append(by_line[number])
    return found


def _environment(url: str) -> dict[str, str]:
    return {"METAPARTICLE_SYNC_URL": url, "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "error"}


@pytest.fixture
def desk(request, tmp_path: Path) -> Iterator[Desk]:
    desk = Desk(tmp_path, request.param)
    try:
        yield desk
    finally:
        desk.end()


def test_the_elector_says_what_the_page_shows():
    (block,) = _section("1.")
    settings = Settings(state_dir=Path("/home/you/.local/state/metaparticle-sync"))
    said = [line.split(" INFO ")[1] for line in block.text.splitlines()[1:]]
    assert said[:-1] == list(announcement(settings, (settings.port, settings.health_port)))
    assert re.fullmatch(r"began session [0-9a-f]{32}-[0-9a-f]{32}, lease 20 s", said[-1])


@pytest.mark.parametrize("desk", [("2.", "3.")], indirect=True)
def test_a_lock_in_two_terminals_and_the_death_of_a_holder(desk: Desk, elector: DocumentedElector):
    first = desk.open("hold.py", "4711", elector)
    first.shows(desk.next_block("python hold.py"), desk.likeness)
    second = desk.open("hold.py", "4712", elector)
    second.shows(desk.next_block("python hold.py"), desk.likeness)
    first.press_enter()
    second.shows(desk.next_block(), desk.likeness)

    third = desk.open("hold.py", "4713", elector)
    third.shows(desk.next_block("python hold.py"), desk.likeness)
    desk.next_block("kill -9 4712")
    second.kill(signal.SIGKILL)
    third.shows(desk.next_block(), desk.likeness)

    (call,) = calls(desk.next_block("curl http://127.0.0.1:13131/locks"))
    answer = begin(call, [elector.real(word) for word in call.arguments]).answer()
    said = elector.documented(answer.body).replace(f"{socket.gethostname()}:", "web-1:")
    desk.likeness.check(call.answer.body, third.documented(said))


@pytest.mark.parametrize("desk", [("6.",)], indirect=True)
def test_a_lock_is_lost(desk: Desk, tmp_path: Path):
    (tmp_path / "elector").mkdir()
    elector = DocumentedElector(tmp_path / "elector", *_SHORT_LEASE)
    try:
        terminal = desk.open("lose.py", "4714", elector)
        wait_until(lambda: elector.get(elector.address, "/locks")[1]["locks"], "the lock is held")
        elector.interrupt()
        terminal.shows(desk.next_block("python lose.py"), desk.likeness)
    finally:
        elector.end()


@pytest.mark.parametrize("desk", [("7.",)], indirect=True)
def test_a_leader_steps_down(desk: Desk, elector: DocumentedElector):
    first = desk.open("lead.py", "4721", elector)
    first.shows(desk.next_block("python lead.py"), desk.likeness)
    second = desk.open("lead.py", "4722", elector)
    first.kill(signal.SIGTERM)
    first.shows(desk.next_block(), desk.likeness)
    second.shows(desk.next_block(), desk.likeness)


@pytest.mark.parametrize("desk", [("9.",)], indirect=True)
def test_the_tests_of_the_page_pass(desk: Desk, tmp_path: Path, elector: DocumentedElector):
    for name in ("test_report.py", "test_with_an_elector.py"):
        _, *arguments = desk.next_block(f"python -m pytest -q {name}").text.removeprefix("$ ").split()
        answer = subprocess.run(
            [sys.executable, *arguments, "-p", "no:cacheprovider"],
            cwd=tmp_path,
            env=_environment(elector.url),
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert answer.returncode == 0, answer.stdout + answer.stderr


def test_every_file_of_the_page_is_walked_through():
    text = Path(__file__).read_text()
    names = {name[1] for block in blocks(TUTORIAL, "python") if (name := _FILE.match(block.text))}
    assert {name for name in names if f'"{name}"' not in text} == set()
