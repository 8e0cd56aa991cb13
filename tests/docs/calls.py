"""The calls that a page shows: commands with curl, each followed by its answer.

$ curl -i -X PUT http://127.0.0.1:13131/locks/orders &       begins in the background
$ curl -i -X DELETE http://127.0.0.1:13131/locks/orders
HTTP/1.1 204 No Content                                      the answer of the second
                                                             (empty line)
HTTP/1.1 200 OK                                              the answer of the first
"""

from __future__ import annotations

import http.client
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Protocol
from urllib.parse import urlsplit

from tests.docs.pages import Block

PATIENCE_SECONDS = 60


@dataclass(slots=True)
class Answer:
    """Status line and content type, empty where they are not shown, and the body."""

    status_line: str
    content_type: str
    body: str


@dataclass(slots=True)
class Call:
    """One command, and the answer that is documented for it. `line` is where the command stands."""

    line: int
    arguments: list[str]
    in_background: bool
    answer: Answer = field(default_factory=lambda: Answer("", "", ""))

    @property
    def is_endless(self) -> bool:
        """Whether the answer goes on for ever: as many lines are read as the page shows."""
        return "-N" in self.arguments


def calls(block: Block) -> list[Call]:
    """The calls of one block, in their order."""
    found: list[Call] = []
    shown: list[str] = []
    for line, text, is_command in _parts(block):
        if is_command:
            found.append(_call(line, text))
        else:
            shown.append(text)
            waiting = [call for call in found if not call.answer.status_line and not call.answer.body]
            _give(waiting, text)
    return found


def _parts(block: Block) -> Iterator[tuple[int, str, bool]]:
    """Commands, each joined from its lines, and what stands between them."""
    lines = block.text.splitlines()
    position = 0
    while position < len(lines):
        begun, is_command = position, lines[position].startswith("$ ")
        position += 1
        if is_command:
            while not _is_complete("\n".join(lines[begun:position])):
                position += 1
        else:
            while position < len(lines) and not lines[position].startswith("$ "):
                position += 1
        yield block.line + begun, "\n".join(lines[begun:position]), is_command


def _is_complete(command: str) -> bool:
    try:
        shlex.split(command)
    except ValueError:
        return False
    return not command.endswith("\\")


def _call(line: int, text: str) -> Call:
    words = shlex.split(text.removeprefix("$ ").replace("\\\n", " "))
    return Call(line, [word for word in words if word != "&"], in_background=words[-1] == "&")


def _give(waiting: list[Call], text: str) -> None:
    """Hand out the answers of one part: to the last command first, then to those in the background."""
    answers = [part for part in re.split(r"(?m)^(?=HTTP/1\.1 )", text) if part.strip()]
    assert len(answers) == len(waiting), f"{len(answers)} answers for {len(waiting)} commands"
    for call, answer in zip(reversed(waiting), answers, strict=True):
        call.answer = parse_answer(answer)


def parse_answer(text: str) -> Answer:
    """What `curl -i` prints; without a status line all of it is the body."""
    if not text.startswith("HTTP/"):
        return Answer("", "", text.strip("\n"))
    head, _, body = text.replace("\r\n", "\n").partition("\n\n")
    status_line, *headers = head.splitlines()
    named = {name.lower(): value.strip() for name, _, value in (header.partition(":") for header in headers)}
    return Answer(status_line, named.get("content-type", ""), body.strip("\n"))


class Running(Protocol):
    """A call under way."""

    def answer(self) -> Answer: ...


def begin(call: Call, arguments: list[str]) -> Running:
    """Send a call with curl, or without it where there is none."""
    assert arguments[0] == "curl", arguments
    return (_ByCurl if shutil.which("curl") else _ByHttpClient)(call, arguments)


class _ByCurl:
    def __init__(self, call: Call, arguments: list[str]) -> None:
        self._call = call
        self._curl = subprocess.Popen([*arguments, "-sS"], stdout=subprocess.PIPE, text=True)

    def answer(self) -> Answer:
        try:
            if not self._call.is_endless:
                return parse_answer(self._curl.communicate(timeout=PATIENCE_SECONDS)[0])
            assert self._curl.stdout is not None
            count = len(self._call.answer.body.splitlines())
            return parse_answer("".join(self._curl.stdout.readline() for _ in range(count)))
        finally:
            self._curl.kill()
            self._curl.communicate()


class _ByHttpClient:
    """Understands those of curl's options that the pages use."""

    def __init__(self, call: Call, arguments: list[str]) -> None:
        self._call = call
        method, url, headers, body = _understood(arguments)
        parts = urlsplit(url)
        self._connection = http.client.HTTPConnection(parts.netloc, timeout=PATIENCE_SECONDS)
        data = None if body is None else body.encode()
        self._connection.request(method, parts.path, body=data, headers=headers)

    def answer(self) -> Answer:
        try:
            response = self._connection.getresponse()
            if self._call.is_endless:
                count = len(self._call.answer.body.splitlines())
                return Answer("", "", b"".join(response.readline() for _ in range(count)).decode().strip("\n"))
            content_type = response.headers.get("content-type", "")
            body = response.read().decode().strip("\n")
            return Answer(f"HTTP/1.1 {response.status} {response.reason}", content_type, body)
        finally:
            self._connection.close()


def _understood(arguments: list[str]) -> tuple[str, str, dict[str, str], str | None]:
    """Method, address, headers and body."""
    method, url, body = "", "", None
    headers: dict[str, str] = {}
    words = iter(arguments[1:])
    for word in words:
        if word == "-X":
            method = next(words)
        elif word == "-H":
            name, _, value = next(words).partition(":")
            headers[name] = value.strip()
        elif word == "-d":
            # As curl does: lines of the argument are kept, and a body has a type unless it is given.
            body = next(words)
            headers.setdefault("Content-Type", "application/x-www-form-urlencoded")
        elif not word.startswith("-"):
            url = word
    return method or ("GET" if body is None else "POST"), url, headers, body
