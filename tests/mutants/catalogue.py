"""All mutants: the rules marked * in design.md, switched off one by one, and the classic mistakes."""

from __future__ import annotations

from tests.mutants.classics import CLASSICS
from tests.mutants.starred_rules import STARRED_RULES

MUTANTS = (*STARRED_RULES, *CLASSICS)

EQUIVALENT: dict[str, str] = {}
