"""Each rule that design.md marks with *, switched off."""

from __future__ import annotations

from tests.mutants.mutant import Edit, Mutant

FOREIGN = "elector_server/foreign_sessions.py"
OWN = "elector_server/own_session.py"
KEEPER = "elector_server/session_keeper.py"
NAMED = "elector_server/named_lock.py"
TURN = "elector_server/rules/turn.py"
SESSION = "elector_server/rules/session.py"
ELECTOR = "elector_server/elector.py"
ACQUISITIONS = "elector_server/acquisitions.py"
RECONCILE = "elector_server/reconcile.py"

STARRED_RULES = (
    Mutant(
        "missing session taken for an ended one",
        (Edit(FOREIGN, "await self._mark_missing(observer, seconds)", "self.note_ended(observer.id)"),),
        ("stale_reads_say_missing_twice", "missing_session_is_waited_for_in_full"),
    ),
    Mutant(
        "missing session: the wait goes on from the sighting before",
        (
            Edit(
                FOREIGN,
                "await self._mark_missing(observer, seconds)",
                "observer.observation = observer.observation or Observation((0, 0, 0), self._clock.now())\n"
                "            waited = self._clock.now() - observer.observation.observed_at\n"
                "            if waited >= rules.observation_seconds(lease_seconds):\n"
                "                self.note_ended(observer.id)",
            ),
        ),
        ("missing_session_is_waited_for_in_full", "stale_reads_say_missing_twice"),
    ),
    Mutant(
        "lease of a missing session: one's own",
        (Edit(FOREIGN, "rules.missing(observer.lease_seconds,", "rules.missing(10.0,"),),
        ("lease_comes_from_the_lock_record",),
    ),
    Mutant(
        "an adopter writes its own lease",
        (
            Edit(
                OWN,
                "adopted = rules.adopt(session, self._nonce, self._identity.boot_id, self._clock.wall())",
                "self.durations = self._settings\n"
                "        adopted = rules.adopt(session, self._nonce, self._identity.boot_id, self._clock.wall())\n"
                "        adopted = replace(adopted, lease_seconds=self._settings.lease_seconds)",
            ),
        ),
        ("an_adopter_keeps_the_lease",),
    ),
    Mutant(
        "session id without fresh random bits",
        (
            Edit(
                OWN,
                "rules.new_session_id(self._identity.key, self._random.getrandbits(128))",
                "rules.new_session_id(self._identity.key, 0)",
            ),
        ),
        ("a_new_session_has_an_id_of_its_own", "a_late_create_of_a_session_stays_dead"),
    ),
    Mutant(
        "a session is adopted before its first renewal",
        (Edit(SESSION, "session.state is State.LIVE and session.seq >= 1 and", "session.state is State.LIVE and"),),
        ("a_late_create_of_a_session_stays_dead",),
    ),
    Mutant(
        "a session is used before its first renewal",
        (
            Edit(
                OWN,
                "await self._renew(self._clock.now() + self.durations.validity_seconds)",
                "self._committed(session, record.version, self._clock.now())",
            ),
        ),
        ("a_hold_survives_a_restart_right_after_the_start",),
    ),
    Mutant(
        "no confirming write after an adoption",
        (
            Edit(TURN, "        return Step.CONFIRM\n", "        return Step.GRANT\n"),
            Edit(
                NAMED,
                "if lock is None or (lock.hold.session, lock.hold.epoch) != (session.id, session.epoch):",
                "if lock is None or lock.hold.session != session.id:",
            ),
        ),
        ("a_release_in_flight_when_its_elector_restarted",),
    ),
    Mutant(
        "graceful end soon after an adoption",
        (Edit(ELECTOR, "and not is_used and not session.in_grace():", "and not is_used:"),),
        ("no_graceful_end_soon_after_an_adoption",),
    ),
    Mutant(
        "the unclaimed is released at once after an adoption",
        (Edit(TURN, "return Step.REST if sight.in_grace else Step.HAND_ON", "return Step.HAND_ON"),),
        ("nothing_unclaimed_is_released_after_an_adoption",),
    ),
    Mutant(
        "graceful end though a client still believes",
        (Edit(ELECTOR, "session.is_valid() and not is_used and", "session.is_valid() and"),),
        ("a_restart_in_an_orderly_way_costs_no_lock",),
    ),
    Mutant(
        "no reconciliation at all",
        (
            Edit(
                RECONCILE,
                "                del self._strays[name]\n                self._core.named(name).see",
                "                del self._strays[name]\n                0 and self._core.named(name).see",
            ),
            Edit(
                RECONCILE,
                "        for record in found.values():\n            self._core",
                "        for record in found.values():\n            0 and self._core",
            ),
        ),
        ("a_late_create_lands_after_the_release",),
    ),
    Mutant(
        "reconciliation by watch only, never by list",
        (
            Edit(
                RECONCILE,
                "        for record in found.values():\n            self._core",
                "        for record in found.values():\n            0 and self._core",
            ),
        ),
        ("a_late_create_lands_unseen",),
    ),
    Mutant(
        "a hold is recognised by its holder id alone",
        (
            Edit(
                TURN,
                "if sight.lock.hold.session == sight.session:",
                "if sight.lock.hold.session == sight.session or sight.lock.hold.holder in sight.wanted:",
            ),
            Edit(
                NAMED,
                "if lock is None or (lock.hold.session, lock.hold.epoch) != (session.id, session.epoch):",
                "if lock is None:",
            ),
        ),
        ("a_create_of_a_dead_session_lands",),
    ),
    Mutant(
        "a dead holder id may be granted again",
        (
            Edit(
                ACQUISITIONS,
                "        if holder in self._core.dead:\n            raise HolderDead(name, holder)\n        lock =",
                "        lock =",
            ),
            Edit(ACQUISITIONS, " or hold.holder in self._core.dead:", ":"),
        ),
        ("a_dead_holder_id_never_comes_back", "a_holder_id_given_up_never_comes_back"),
    ),
    Mutant(
        "a foreign nonce is ignored by the renewal",
        (Edit(OWN, "if _mark(found) != _mark(before):", "if False:"),),
        ("a_twin_is_noticed_by_its_nonce",),
    ),
    Mutant(
        "a higher epoch is ignored",
        (Edit(TURN, "    if hold.epoch > sight.epoch:\n        return Step.LOSE\n", ""),),
        ("a_twin_s_higher_epoch_is_respected",),
    ),
    Mutant(
        "a waiter that left stays in the queue",
        (Edit(TURN, "return Step.LEAVE if tickets else Step.REST", "return Step.REST"),),
        ("a_waiter_leaves_while_a_write_names_it",),
    ),
    Mutant(
        "no second look at the deadline",
        (
            Edit(
                NAMED,
                "if not session.is_valid() or self._core.session is not session:",
                "if False:",
            ),
        ),
        ("the_deadline_is_checked_again_after_the_answer",),
    ),
)
