"""Each mutant can be judged: the text that it edits is there, and so is what is to catch it.

Running the mutants takes long and is no part of the other tests; a change of the code must not quietly outdate them.
"""

from __future__ import annotations

from collections import Counter

import pytest

from tests.mutants.catalogue import MUTANTS
from tests.mutants.mutant import PROJECT, Mutant, edited
from tests.simulation.directed import SCHEDULES


def named(mutant: Mutant) -> str:
    return mutant.name


@pytest.mark.parametrize("mutant", MUTANTS, ids=named)
def test_its_edits_apply(mutant: Mutant) -> None:
    texts = {edit.file: (PROJECT / edit.file).read_text() for edit in mutant.edits}
    for edit in mutant.edits:
        texts[edit.file] = edited(texts[edit.file], edit)
    for file, text in texts.items():
        compile(text, file, "exec")  # What can not be imported is caught by no test, whatever it is.


@pytest.mark.parametrize("mutant", MUTANTS, ids=named)
def test_what_is_to_catch_it_is_there(mutant: Mutant) -> None:
    assert mutant.schedules or mutant.tests or mutant.seeds
    assert set(mutant.schedules) <= SCHEDULES.keys()
    assert [test for test in mutant.tests if not (PROJECT / test.partition("::")[0]).exists()] == []


def test_no_two_have_one_name() -> None:
    assert [name for name, times in Counter(mutant.name for mutant in MUTANTS).items() if times > 1] == []
