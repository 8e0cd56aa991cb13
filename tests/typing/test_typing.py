"""Both type checkers on what users write."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from mypy import api

from tests.docs.elector import DocumentedElector
from tests.processes.running import ROOT

HERE = Path(__file__).parent
ACCEPTED, REFUSED = HERE / "accepted.py", HERE / "refused.py"


def mypy(program: Path, cache: Path) -> list[tuple[int, str]]:
    """Lines and messages."""
    report, errors, code = api.run(
        ["--strict", "--no-error-summary", "--no-pretty", "--cache-dir", str(cache), str(program)]
    )
    assert errors == ""
    assert code in {0, 1}
    lines = [line.split(":", 3) for line in report.splitlines() if ": error:" in line]
    assert all(Path(line[0]).name == program.name for line in lines), report
    return [(int(line[1]), line[3]) for line in lines]


def pyright(program: Path, *arguments: str) -> list[tuple[int, str]]:
    """Lines and messages. With --outputjson it asks nobody whether there is a newer version."""
    answer = subprocess.run(
        [sys.executable, "-m", "pyright", "--outputjson", "--pythonpath", sys.executable, *arguments, str(program)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert answer.returncode in {0, 1}, answer.stdout + answer.stderr
    report = json.loads(answer.stdout)
    assert report["summary"]["filesAnalyzed"] > 0
    found = report["generalDiagnostics"]
    return [(each["range"]["start"]["line"] + 1, each["message"]) for each in found if each["severity"] == "error"]


def marked(program: Path) -> set[int]:
    lines = enumerate(program.read_text().splitlines(), start=1)
    return {number for number, line in lines if line.endswith("  # refused")}


def test_mypy_accepts_what_users_write(tmp_path: Path):
    assert mypy(ACCEPTED, tmp_path) == []


def test_pyright_accepts_what_users_write():
    assert pyright(ACCEPTED) == []


def test_mypy_refuses_what_is_wrong(tmp_path: Path):
    found = mypy(REFUSED, tmp_path)
    assert {line for line, _ in found} == marked(REFUSED), found


def test_pyright_refuses_what_is_wrong():
    found = pyright(REFUSED)
    assert {line for line, _ in found} == marked(REFUSED), found


def test_what_type_checkers_accept_is_true(tmp_path: Path):
    elector = DocumentedElector(tmp_path)
    try:
        answer = subprocess.run(
            [sys.executable, str(ACCEPTED)],
            env={"METAPARTICLE_SYNC_URL": elector.url, "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "error"},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    finally:
        elector.end()
    assert (answer.stdout, answer.returncode) == ("all of it is true\n", 0), answer.stderr
