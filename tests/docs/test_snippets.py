"""The Python in the README and in `docs/`, run as it stands, each block in a process of its own.

A block of text that follows one of Python is what it prints. A block that begins with the name of a file is a part of
the tutorial, which `test_tutorial.py` walks through.
"""

from __future__ import annotations

import re
import subprocess
import sys
from itertools import pairwise

import pytest

from tests.docs.pages import PAGES, README, Block, blocks
from tests.docs.test_protocol import run_console
from tests.processes.running import ROOT

_FILE = re.compile(r"^# (\w+\.py)$", re.MULTILINE)

SNIPPETS = [block for page in PAGES for block in blocks(page, "python") if not _FILE.match(block.text)]


@pytest.mark.parametrize("snippet", SNIPPETS, ids=lambda snippet: snippet.place)
def test_snippet_runs_and_prints_what_the_page_shows(snippet, elector):
    answer = subprocess.run(
        [sys.executable, "-c", snippet.text],
        cwd=ROOT,
        env={"METAPARTICLE_SYNC_URL": elector.url, "PYTHONWARNINGS": "error"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert answer.returncode == 0, answer.stderr
    assert answer.stdout.strip() == printed(snippet), answer.stderr


def printed(snippet: Block) -> str:
    """What the page says that a snippet prints."""
    for block, after in pairwise(blocks(snippet.page)):
        if block == snippet and after.language == "text":
            return after.text.strip()
    return ""


def test_the_calls_of_the_readme_are_answered_as_shown(elector):
    run_console(README, elector)


def test_the_two_lines_of_the_readme_are_all_that_changes(elector):
    (diff,) = blocks(README, "diff")
    before, after = _sides(diff.text)
    program = "\nwith lock:\n    print(lock.locked())\nprint(lock.locked())\n"
    outputs = {
        subprocess.run(
            [sys.executable, "-c", side + program],
            cwd=ROOT,
            env={"METAPARTICLE_SYNC_URL": elector.url},
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        ).stdout
        for side in (before, after)
    }
    assert outputs == {"True\nFalse\n"}


def _sides(diff: str) -> tuple[str, str]:
    lines = diff.splitlines()
    sides = ("\n".join(line[1:] for line in lines if line[:1] != other) for other in "+-")
    before, after = sides
    return before, after
