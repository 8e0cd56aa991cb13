"""What docs/operations.md lists, compared with what the elector has."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from elector_server import trouble
from elector_server.health import COUNTERS
from tests.docs.pages import table
from tests.processes.running import ROOT

PAGE = ROOT / "docs" / "operations.md"
PACKAGE = ROOT / "elector_server"

WITH_CODES = ("trouble.py", "seen_versions.py", "store/__init__.py", "store/kubernetes_errors.py")
GAUGES = {"elector_ready", "elector_holds", "elector_waits"}

_CODE = re.compile(r"[a-z]+(_[a-z]+)+")
_COUNTED = re.compile(r"count\(\"(\w+)\"[,)]")


def codes_in(file: str) -> Iterator[str]:
    """Every text of a module that has the form of a code, but its docstrings, which have more than that."""
    for node in ast.walk(ast.parse((PACKAGE / file).read_text())):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and _CODE.fullmatch(node.value):
            yield node.value


def test_every_code_of_readyz_is_explained():
    listed = [row[0].strip("`") for row in table(PAGE, "code", "cause", "what to do")]
    assert len(set(listed)) == len(listed)
    found = {code for file in WITH_CODES for code in codes_in(file)} | {trouble.Cause.of(ValueError()).code}
    assert "no_access" in set(codes_in("store/kubernetes_api.py"))
    assert set(listed) == found | {"no_access"}


def test_every_metric_is_explained():
    cells = [row[0] for row in table(PAGE, "metric", "means")]
    listed = {name for cell in cells for name in re.findall(r"`(\w+)`", cell)}
    assert listed == GAUGES | {f"elector_{name}_total" for name in COUNTERS}


def test_everything_that_is_counted_is_shown():
    counted = {name for path in PACKAGE.rglob("*.py") for name in _COUNTED.findall(path.read_text())}
    assert counted == set(COUNTERS)
