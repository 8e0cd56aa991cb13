"""All mutants: the rules marked * in design.md switched off, the classic mistakes, and the bugs found so far."""

from __future__ import annotations

from tests.mutants.classics import CLASSICS
from tests.mutants.found_bugs import FOUND_BUGS
from tests.mutants.onlookers import ONLOOKERS
from tests.mutants.shared_elector import SHARED_ELECTOR
from tests.mutants.shared_loop import SHARED_LOOP
from tests.mutants.shared_records import SHARED_RECORDS
from tests.mutants.starred_rules import STARRED_RULES

MUTANTS = (
    *STARRED_RULES,
    *CLASSICS,
    *FOUND_BUGS,
    *ONLOOKERS,
    *SHARED_RECORDS,
    *SHARED_ELECTOR,
    *SHARED_LOOP,
)

EQUIVALENT = {
    "no first look at the deadline before a claim is sent": (
        "the second look refuses every grant, and a claim that lands under a dead session is taken over by whoever"
        " comes next; the first look only saves the write"
    ),
}
