"""What a type checker makes of the library's functions."""

from __future__ import annotations

from pathlib import Path

from mypy import api


def test_leaders_are_typed(tmp_path: Path):
    program = Path(__file__).with_name("typed_leaders.py")
    report, errors, code = api.run(["--strict", "--no-error-summary", "--cache-dir", str(tmp_path), str(program)])
    assert (report, errors, code) == ("", "", 0)
