"""The bugs that the simulation has found in this elector so far: each put back, so that it would be found again."""

from __future__ import annotations

from tests.mutants.mutant import Edit, Mutant

CLIENT_SESSIONS = "elector_server/client_sessions.py"
ACQUISITIONS = "elector_server/acquisitions.py"
LEGACY = "elector_server/legacy.py"
KEEPER = "elector_server/session_keeper.py"
NAMED = "elector_server/named_lock.py"
OWN = "elector_server/own_session.py"
SWEEP = "elector_server/sweep.py"
TURN = "elector_server/rules/turn.py"

FOUND_BUGS = (
    Mutant(
        "a silent store passes for a lock that somebody has",
        (Edit(ACQUISITIONS, "is None else lock.silence.reason(0.0)", "is None else None"),),
        ("a_waiter_of_a_silent_store_hears_of_the_store", "a_waiter_of_a_refusing_store_hears_of_the_store"),
    ),
    Mutant(
        "a process adopts the session that it has lost",
        (Edit(KEEPER, "            adopt = False\n", ""),),
        ("a_lost_session_is_never_revived",),
        seeds=400,
    ),
    Mutant(
        "a higher epoch is taken for the process before",
        (
            Edit(TURN, "    if hold.epoch > sight.epoch:\n        return Step.LOSE\n", ""),
            Edit(TURN, "if hold.epoch < sight.epoch:", "if hold.epoch != sight.epoch:"),
        ),
        ("a_twin_s_higher_epoch_is_respected",),
    ),
    Mutant(
        "one nonce for all tries to open a session",
        (
            Edit(
                OWN,
                'self._nonce = f"{self._random.getrandbits(128):032x}"',
                'self._nonce = self._nonce or f"{self._random.getrandbits(128):032x}"',
            ),
        ),
        ("an_adoption_is_not_dated_by_its_second_try",),
    ),
    Mutant(
        "a release is forgotten while its hold is being confirmed",
        (
            Edit(TURN, "    if hold.holder in sight.given_up:\n        return Step.HAND_ON\n", ""),
            Edit(NAMED, "if holder in self._given_up:", "if False:"),
        ),
        ("a_release_while_its_hold_is_confirmed",),
    ),
    Mutant(
        "a slow confirmation forgets whose hold it is",
        (
            Edit(
                CLIENT_SESSIONS,
                "            # It stays presented: a confirmation that lands later must find whose it is.\n",
                "            lock._presented.pop(hold.holder, None)\n",
            ),
        ),
        ("a_slow_confirmation_is_not_given_away",),
    ),
    Mutant(
        "a session of before the boot is observed for the full time",
        (
            Edit(
                OWN,
                "(self.left_over if is_of_this_boot else self.left_from_before_boot).append(record.name)",
                "(self.left_over if is_of_this_boot else self.left_over).append(record.name)",
            ),
        ),
        ("a_reboot_frees_everything",),
    ),
    Mutant(
        "locks are freed before there is a session to take them",
        (Edit(KEEPER, "            await self.opened.wait()  # Without", "            # Without"),),
        ("a_lost_session_s_lock_is_freed_though_nobody_waits_for_it",),
    ),
    Mutant(
        "the sweeper leaves what an ended session holds",
        (Edit(SWEEP, "                await self._free(record.name)  # A write", "                pass  # A write"),),
        ("the_sweeper_frees_what_an_ended_session_holds",),
    ),
    Mutant(
        "the sweeper leaves what a missing session holds",
        (Edit(SWEEP, "            await self._look_for(session_id, named[session_id])", "            pass"),),
        ("the_sweeper_frees_what_a_missing_session_holds",),
    ),
    Mutant(
        "the sweeper dies of a refused claim",
        (
            Edit(
                SWEEP,
                "        except Problem:\n            return False\n",
                "        except LockHeld:\n            return False\n",
            ),
            Edit(
                SWEEP, "from elector_server.problems import Problem\n", "from elector_server.problems import LockHeld\n"
            ),
        ),
        ("the_sweeper_survives_a_refusal",),
    ),
    Mutant(
        "the expiry of legacy holds dies of a hold that was dropped at once",
        (Edit(LEGACY, "            while not self._put_at:\n", "            if not self._put_at:\n"),),
        ("a_legacy_hold_that_is_dropped_at_once",),
    ),
)
