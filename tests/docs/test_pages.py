"""What the pages say of the code, compared with the code; and the links between them."""

from __future__ import annotations

import re
import subprocess
import sys
import threading

import pytest

import metaparticle_sync
from elector_server.config import Settings, parse_settings
from metaparticle_sync import wire
from tests.docs.pages import DROP_IN, PAGES, README, anchors, blocks, links, table
from tests.processes.running import ROOT
from tests.simulation.directed import SCHEDULES

FIRST_SCREEN_LINES = 45


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    for target in links(page):
        if target.startswith("https://"):
            continue
        path, _, anchor = target.partition("#")
        destination = (page.parent / path).resolve() if path else page
        assert destination.exists(), f"{page.name}: {target}"
        assert not anchor or anchor in anchors(destination), f"{page.name}: {target}"


def test_every_page_can_be_reached_from_the_readme():
    seen, to_see = set(), [README]
    while to_see:
        page = to_see.pop()
        seen.add(page)
        paths = {target.partition("#")[0] for target in links(page) if not target.startswith("https://")}
        to_see += {(page.parent / path).resolve() for path in paths if path.endswith(".md")} - seen
    assert set(PAGES) - seen <= {ROOT / "CHANGELOG.md"}


def test_the_first_screen_says_what_is_promised_what_is_not_and_how_to_see_it():
    first_screen = "\n".join(README.read_text().splitlines()[:FIRST_SCREEN_LINES])
    for wanted in ("make demo", "make test", "+lock = Lock(", "**Promised**", "**Not promised**", "lock.token"):
        assert wanted in first_screen


def test_the_first_screen_has_all_primitives():
    first_screen = "\n".join(README.read_text().splitlines()[:FIRST_SCREEN_LINES])
    of_threading = {name for name in metaparticle_sync.__all__ if name in vars(threading) and name[0].isupper()}
    primitives = {name for name in of_threading if not name.endswith("Error") and not name.isupper()}
    assert {"Lock", "Semaphore"} < primitives
    assert {name for name in primitives | {"Election", "leader_only"} if f"`{name}`" not in first_screen} == set()


def test_every_primitive_has_a_row_of_its_own():
    rows = table(DROP_IN, "`threading`, `multiprocessing`", "here", "differs in")
    shown = {name for row in rows for name in re.findall(r"`(\w+)\(", row[1])}
    assert shown == {
        "Lock",
        "RLock",
        "Semaphore",
        "BoundedSemaphore",
        "Event",
        "Condition",
        "Barrier",
        "Election",
        "leader_only",
    }


def test_the_test_command_of_the_readme_is_the_one_that_is_run():
    assert "make test" in (ROOT / ".ci" / "run").read_text()


def test_every_setting_of_the_elector_is_in_the_readme():
    answer = subprocess.run(
        [sys.executable, "-m", "elector_server", "--help"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    flags = set(re.findall(r"^ +(--[a-z-]+) [A-Z]", answer.stdout, re.MULTILINE))
    variables = set(re.findall(r"\[(ELECTOR_[A-Z_]+)\]", re.sub(r"\s+", " ", answer.stdout)))
    rows = table(README, "flag", "variable", "meaning", "default")
    assert flags == {row[0].strip("`") for row in rows}
    assert variables == {row[1].strip("`") for row in rows}


def test_the_defaults_in_the_readme_are_the_defaults():
    rows = {row[0].strip("`"): row[3].strip("`") for row in table(README, "flag", "variable", "meaning", "default")}
    settings = parse_settings([], {"HOME": "/home/you"})
    durations = settings.durations
    shown = Settings(
        store=rows["--store"],
        state_dir=settings.state_dir,
        host=rows["--host"],
        port=int(rows["--port"]),
        health_port=int(rows["--port"]) + 1,
        durations=type(durations)(float(rows["--lease-seconds"]), float(rows["--client-ttl-seconds"])),
        log_format=rows["--log-format"],
    )
    assert shown == settings
    assert str(settings.state_dir) == "/home/you/.local/state/metaparticle-sync"
    assert rows["--state-dir"].endswith("`~/.local/state/metaparticle-sync")


def test_every_public_name_is_explained_somewhere():
    text = "\n".join(page.read_text() for page in PAGES)
    names = {name for name in metaparticle_sync.__all__ if not name.startswith("__")}
    assert {name for name in names if f"`{name}" not in text} == set()


def test_the_changelog_has_this_version():
    assert f"## [{wire.VERSION}]" in (ROOT / "CHANGELOG.md").read_text()


def test_every_schedule_that_is_named_exists():
    named = {row[2].strip("`") for row in table(ROOT / "docs" / "proof.md", "rule", "what happens", "schedule")}
    assert named
    assert named <= set(SCHEDULES)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_block_of_code_says_what_it_is(page):
    assert {block.language for block in blocks(page)} <= {"python", "text", "console", "diff", "yaml"}


def test_the_tree_of_errors_is_as_the_page_shows_it():
    rows = table(DROP_IN, "situation", "error", "also is a")
    ours = {}
    for _, error, also in rows:
        found = getattr(metaparticle_sync, error.strip("`"), None)
        if found is not None:
            ours[found] = also.strip("`")
    errors = {value for name in metaparticle_sync.__all__ if _is_error(value := getattr(metaparticle_sync, name))}
    assert set(ours) == errors
    assert ours.pop(metaparticle_sync.BrokenBarrierError) == "RuntimeError"  # It is that of threading.
    for error, also in ours.items():
        assert issubclass(error, metaparticle_sync.SyncError)
        builtins_above = [base.__name__ for base in error.__bases__ if base.__module__ == "builtins"]
        assert builtins_above == ([also] if also else []) or error is metaparticle_sync.SyncError


def _is_error(value: object) -> bool:
    return isinstance(value, type) and issubclass(value, Exception)
