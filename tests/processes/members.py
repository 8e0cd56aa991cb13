"""A process that uses the whole family, as a test sees it; and what an elector says of its records."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import TYPE_CHECKING, Any

from metaparticle_sync import wire
from tests.processes.history import Event, seconds_between
from tests.processes.running import wait_until
from tests.processes.workers import WorkerProcess

if TYPE_CHECKING:
    from tests.processes.electors import ElectorProcess


class Call:
    """One call of a method that was begun."""

    def __init__(self, member: Member, number: int) -> None:
        self._member = member
        self._number = number

    def _of_kind(self, *kinds: str) -> list[Event]:
        return [event for event in self._member.events(call=self._number) if event.kind in kinds]

    def is_over(self) -> bool:
        return bool(self._of_kind("ok", "fail"))

    def began(self) -> Event:
        """Its beginning, awaited."""
        return self._member._wait(lambda: self._of_kind("invoke"), "a call begins")[0]

    def end(self) -> Event:
        """How it ended, awaited."""
        self.began()
        return self._member._wait(lambda: self._of_kind("ok", "fail"), f"{self.began()} ends")[0]

    def result(self) -> Any:
        """What it returned, awaited."""
        end = self.end()
        assert end.kind == "ok", end
        return end.details

    def seconds_since(self, moment: int) -> float:
        """How long after a moment it ended."""
        return seconds_between(moment, self.end().at)


class Member(WorkerProcess):
    """One running `member_program`."""

    program = "tests.processes.member_program"

    def __init__(self, history: Path, output: Path, url: str, options: list[str]) -> None:
        super().__init__(history, output, url, options)
        self._numbers = itertools.count(1)

    def make(self, kind: str, name: str, *positional: Any, action: str = "") -> None:
        """Have it make a primitive."""
        self.do("make", kind=kind, name=name, positional=positional, action=action)

    def begin(self, name: str, method: str, **keywords: Any) -> Call:
        """Have it call a method in a thread of its own."""
        number = next(self._numbers)
        self.do("call", number=number, name=name, method=method, keywords=keywords)
        call = Call(self, number)
        call.began()
        return call

    def call(self, name: str, method: str, **keywords: Any) -> Any:
        """What a method returns, or an attribute is."""
        return self.begin(name, method, **keywords).result()


def spec(elector: ElectorProcess, collection: str, name: str) -> dict[str, Any]:
    """What the record says; nothing if there is none."""
    status, body = elector.get(wire.path_of(collection, name))
    return body["spec"] if status == 200 else {}


def wait_for_spec(elector: ElectorProcess, collection: str, name: str, **fields: Any) -> None:
    """Wait until the record says so. A list is compared by its length."""

    def says_so() -> bool:
        found = spec(elector, collection, name)
        return all(_number(found.get(key)) == value for key, value in fields.items())

    wait_until(says_so, f"{collection} {name!r} has {fields}")


def _number(value: Any) -> Any:
    return len(value) if isinstance(value, list) else value
