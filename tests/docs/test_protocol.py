"""`docs/protocol.md`: every call is made, in the order of the page, and its answer is the documented one."""

from __future__ import annotations

from pathlib import Path

from elector_server.resources.rendering import LOCK_FREE
from elector_server.rules.kinds import READERS
from metaparticle_sync import wire
from tests.docs.calls import Call, begin, calls
from tests.docs.elector import DocumentedElector
from tests.docs.likeness import Likeness
from tests.docs.pages import PROTOCOL, blocks, table
from tests.processes.running import wait_until


def test_each_call_is_answered_as_documented(elector: DocumentedElector):
    run_console(PROTOCOL, elector)


def run_console(page: Path, elector: DocumentedElector) -> None:
    """Make all calls of a page, in their order, and compare the answers with those that it shows."""
    likeness = Likeness()
    for block in blocks(page, "console"):
        try:
            _run(calls(block), elector, likeness)
        except AssertionError as error:
            raise AssertionError(f"{block.place}: {error}") from error


def _run(block: list[Call], elector: DocumentedElector, likeness: Likeness) -> None:
    under_way = []
    for call in block:
        running = begin(call, [likeness.real(elector.real(word)) for word in call.arguments])
        if call.in_background:
            wait_until(lambda: elector.waiters() > 0, "the request in the background waits")
            under_way.append((call, running))
            continue
        _check(call, running.answer(), elector, likeness)
        for earlier, waiting in under_way:
            _check(earlier, waiting.answer(), elector, likeness)
        under_way.clear()


def _check(call: Call, real, elector: DocumentedElector, likeness: Likeness) -> None:
    assert real.status_line == call.answer.status_line, f"line {call.line}: {real}"
    if call.answer.status_line:
        assert real.content_type == call.answer.content_type, f"line {call.line}: {real}"
    for documented, line in _bodies(call, real.body):
        likeness.check(documented, elector.documented(line))


def _bodies(call: Call, real: str) -> list[tuple[str, str]]:
    """A stream is compared line by line, any other body as a whole."""
    if not call.is_endless:
        return [(call.answer.body, real)]
    return list(zip(call.answer.body.splitlines(), real.splitlines(), strict=True))


def test_every_error_code_is_documented_with_its_status():
    rows = table(PROTOCOL, "code", "status", "meaning", "what to do")
    documented = {code.strip("`"): int(status) for code, status, *_ in rows}
    assert documented == wire.STATUS_OF_CODE


def test_codes_that_say_not_now_are_the_503s():
    """The page says so in one sentence instead of a column."""
    assert {code for code, status in wire.STATUS_OF_CODE.items() if status == 503} == wire.UNAVAILABLE_CODES


def test_the_codes_of_what_has_no_record_are_documented():
    for code in (LOCK_FREE, *(f"{kind}_unused" for kind in READERS)):
        assert f"`{code}`" in PROTOCOL.read_text()


def test_every_path_of_the_description_is_in_the_table_of_calls(elector: DocumentedElector):
    _, description = elector.get(elector.address, wire.OPENAPI_PATH)
    described = {
        (method.upper(), path.replace("{", "<").replace("}", ">"))
        for path, item in description["paths"].items()
        for method in item
        if method in {"get", "put", "post", "delete"}
    }
    rows = table(PROTOCOL, "call", "body", "answer") + table(PROTOCOL, "call", "answer")
    documented = {tuple(row[0].strip("`").split(" ")) for row in rows}
    assert documented == described
