"""Mistakes about those who only watch a lock."""

from __future__ import annotations

from tests.mutants.mutant import Edit, Mutant

ONLOOKERS_FILE = "elector_server/onlookers.py"

ONLOOKERS = (
    Mutant(
        "an onlooker believes its watch",
        (
            Edit(
                ONLOOKERS_FILE,
                "                except TimeoutError:\n                    await self._poll()\n",
                "                except TimeoutError:\n                    pass\n",
            ),
        ),
        ("an_onlooker_whose_watch_says_nothing_hears_by_the_poll",),
    ),
    Mutant(
        "a silent store passes for no news",
        (Edit(ONLOOKERS_FILE, "if silent_seconds > SILENT_POLLS", "if 0 > SILENT_POLLS"),),
        ("an_onlooker_of_a_store_that_is_away_is_told_so",),
    ),
    Mutant(
        "an onlooker is woken by the queue",
        (Edit(ONLOOKERS_FILE, "sight if is_news(sight.record) else None", "sight"),),
        ("an_onlooker_waits_while_others_queue",),
    ),
)
