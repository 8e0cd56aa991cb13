"""The pages, taken apart: blocks of code, headings, links, tables."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.processes.running import ROOT

README = ROOT / "README.md"
PROTOCOL = ROOT / "docs" / "protocol.md"
TUTORIAL = ROOT / "docs" / "tutorial.md"
FAILURES = ROOT / "docs" / "how-it-fails.md"
DROP_IN = ROOT / "docs" / "drop-in.md"

PAGES = (README, ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md")))

_FENCE = re.compile(r"^```(\w*)$")
_HEADING = re.compile(r"^#{1,6} +(.+?) *$")
_LINK = re.compile(r"\[[^\]\[]*\]\(([^)\s]+)\)")
_CODE_SPAN = re.compile(r"`[^`]*`")


@dataclass(frozen=True, slots=True)
class Block:
    """One fenced block of code. `line` is that of its first line of code."""

    page: Path
    line: int
    language: str
    text: str

    @property
    def place(self) -> str:
        return f"{self.page.name}:{self.line}"


def blocks(page: Path, *languages: str) -> list[Block]:
    """The fenced blocks of a page, in their order."""
    return [block for block in _blocks(page) if not languages or block.language in languages]


def _blocks(page: Path) -> Iterator[Block]:
    language, begun, lines = "", 0, []
    for number, line in enumerate(page.read_text().splitlines(), start=1):
        fence = _FENCE.match(line)
        if fence and not begun:
            language, begun, lines = fence[1], number + 1, []
        elif fence:
            yield Block(page, begun, language, "\n".join(lines))
            begun = 0
        elif begun:
            lines.append(line)
    assert not begun, f"{page.name}:{begun}: this block of code has no end"


def prose(page: Path) -> list[str]:
    """The lines of a page that are no code."""
    kept, in_code = [], False
    for line in page.read_text().splitlines():
        if _FENCE.match(line):
            in_code = not in_code
        elif not in_code:
            kept.append(line)
    return kept


def anchors(page: Path) -> set[str]:
    """What a link to a heading of this page may name, as GitHub makes it."""
    headings = [match[1] for line in prose(page) if (match := _HEADING.match(line))]
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def links(page: Path) -> list[str]:
    """The targets of all links of a page."""
    return _LINK.findall(_CODE_SPAN.sub("``", "\n".join(prose(page))))


def table(page: Path, *columns: str) -> list[list[str]]:
    """The rows of the tables that have exactly these column titles, cell by cell."""
    rows, inside = [], False
    for line in prose(page):
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")] if line.startswith("|") else []
        if cells == list(columns):
            inside = True
        elif not cells:
            inside = False
        elif inside and not set("".join(cells)) <= set("-: "):
            rows.append(cells)
    return rows
