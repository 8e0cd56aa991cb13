"""Deliberate bugs in what an elector does with shared records: the loop that writes, its members, restarts, repeats."""

from __future__ import annotations

from tests.mutants.mutant import Edit, Mutant

BARRIERS = "elector_server/barriers.py"
CLIENT_SESSIONS = "elector_server/client_sessions.py"
CONDITIONS = "elector_server/conditions.py"
DECIDING = "elector_server/deciding.py"
EVENTS = "elector_server/events.py"
KEEPER = "elector_server/session_keeper.py"
NAMED = "elector_server/named_record.py"
SEMAPHORES = "elector_server/semaphores.py"

SHARED_LOOP = (
    Mutant(
        "loop: a party that was to be written has arrived",
        (Edit(BARRIERS, "self._sent.get(holder) if holder in barrier.operations else None", "self._sent.get(holder)"),),
        ("an_arrival_that_never_lands",),
    ),
    Mutant(
        "loop: a waiter of before is not confirmed once its ticket is seen",
        (Edit(SEMAPHORES, "and hold.epoch != member.claimant.hold.epoch:", "and False:"),),
        ("a_stale_read_of_a_waiter_of_before",),
    ),
    Mutant(
        "loop: a release that the record has forgotten is done again by the next process",
        (Edit(SEMAPHORES, "heard is not None and heard.incarnation != incarnation", "False"),),
        ("a_release_that_is_repeated_at_the_next_process",),
    ),
    Mutant(
        "loop: a ticket of another elector's is taken for one's own",
        (
            Edit(
                SEMAPHORES,
                "return int(digest(holder) in semaphore.taken_over)",
                "return 1",
            ),
        ),
        ("a_holder_id_that_waits_at_another_elector",),
    ),
    Mutant(
        "loop: unclaimed permits are given away at once after an adoption",
        (Edit(DECIDING, "return claimant.hold.epoch == wishes.epoch or not wishes.in_grace", "return True"),),
        ("unclaimed_permits_wait_for_their_clients",),
    ),
    Mutant(
        "loop: unclaimed permits are never given away",
        (Edit(DECIDING, "return claimant.hold.epoch == wishes.epoch or not wishes.in_grace", "return False"),),
        ("unclaimed_permits_wait_for_their_clients",),
    ),
    Mutant(
        "loop: what the record remembers is not looked at",
        (
            Edit(
                DECIDING,
                "if record is not None and before is not None and request.is_done_in(before):",
                "if False:",
            ),
        ),
        ("a_lost_answer_to_a_set", "a_set_whose_elector_dies_before_it_answers"),
    ),
    Mutant(
        "loop: an operation that may be forgotten is done again",
        (Edit(DECIDING, "    elif before is not None and _may_be_forgotten(request, before):\n", "    elif False:\n"),),
        ("a_release_that_the_record_has_forgotten",),
    ),
    Mutant(
        "loop: whoever asks again after a long time has it done again",
        (Edit(NAMED, "        self._operations.add(operation)\n        return", "        return"),),
        ("a_release_repeated_long_after_it_was_done",),
    ),
    Mutant(
        "loop: an unchanged record is not read again before it answers",
        (Edit(NAMED, "if any(request.number > self._read_number for request, _ in decision.answers):", "if False:"),),
        ("a_refusal_from_what_was_known_before",),
    ),
    Mutant(
        "loop: a permit of the session before is granted in this one",
        (
            Edit(
                NAMED,
                "            if session is None or member.claimant.hold.session != session.id:\n",
                "            if False:\n",
            ),
            Edit(
                SEMAPHORES,
                "if session is None or not session.is_valid() or session.id != member.claimant.hold.session:",
                "if session is None:",
            ),
        ),
        ("a_waiter_of_a_lost_session_queues_anew",),
    ),
    Mutant(
        "loop: the observation begins anew with each poll",
        (
            Edit(
                NAMED,
                "            if self._watch.is_open:\n                self._stay()\n",
                "            self._watch.depend_on(None)\n",
            ),
        ),
        ("a_takeover_takes_longer_than_a_poll",),
    ),
    Mutant(
        "loop: the claimants of ended sessions stay",
        (Edit(DECIDING, "        if at.ended(claimant.hold.session):\n", "        if False:\n"),),
        ("permits_of_a_lost_session_come_back", "a_machine_dies_while_its_party_waits"),
    ),
    Mutant(
        "loop: unclaimed records are not tidied after the grace",
        (Edit(KEEPER, "            await self._tidy_records_of(session.id)\n", "            pass\n"),),
        ("unclaimed_permits_wait_for_their_clients",),
    ),
    Mutant(
        "loop: what a client that is gone had stays",
        (Edit(CLIENT_SESSIONS, "            record.leave(holder)\n", "            pass\n"),),
        ("a_waiter_that_fell_silent_gets_no_permit", "the_acting_party_dies"),
    ),
    Mutant(
        "loop: an unnamed record stays when nobody is left",
        (Edit(CLIENT_SESSIONS, "self._core.recorded(*used).remove()", "self._core.recorded(*used).kick()"),),
        ("an_unnamed_record_goes_with_its_maker",),
    ),
    Mutant(
        "event: a waiter forgets when its wait began",
        (
            Edit(
                EVENTS,
                "begun = rules.generation_of(event) if since is None else since",
                "begun = rules.generation_of(event)",
            ),
        ),
        ("a_set_and_a_clear_between_two_polls",),
    ),
    Mutant(
        "condition: a repeated withdrawal was not notified",
        (
            Edit(CONDITIONS, "unknown = WITHDRAWN if pass_on else NOTIFIED", "unknown = WITHDRAWN"),
            Edit(
                CONDITIONS,
                "record.operation(operation, change, lambda _: unknown)",
                "record.request(operation, change, lambda _: unknown)",
            ),
        ),
        ("a_withdrawal_that_is_repeated",),
    ),
    Mutant(
        "condition: a notification waits for ever for a waiter that does not come for it",
        (
            Edit(
                CONDITIONS,
                "            if member.polls == polls and was_notified and is_notified:\n",
                "            if False:\n",
            ),
        ),
        ("a_notified_waiter_does_not_come_for_it",),
    ),
    Mutant(
        "condition: nobody looks whether an absent waiter was notified",
        (
            Edit(
                CONDITIONS,
                "condition = await self._fresh(record)  # Nobody looks",
                "condition = record.record  # Nobody looks",
            ),
        ),
        ("a_notified_waiter_does_not_come_for_it",),
    ),
    Mutant(
        "condition: an interrupt just after the answer loses the notification",
        (
            Edit(
                CONDITIONS,
                "                return rules.notify(condition, at, 1)[0], WITHDRAWN\n",
                "                raise NoTicket\n",
            ),
        ),
        ("a_waiter_is_interrupted_when_it_has_just_been_told",),
    ),
    Mutant(
        "barrier: a lost session tells its parties that it is broken",
        (
            Edit(
                BARRIERS,
                "    if not member.has_joined:\n        return None\n",
                "    if member.lost is not None:\n        return Outcome.BROKEN\n",
            ),
        ),
        ("a_party_passes_while_its_elector_is_cut_off",),
    ),
    Mutant(
        "barrier: a read that finds nothing breaks it",
        (Edit(BARRIERS, "    if barrier is None and record.version == 0:\n", "    if False:\n"),),
        ("a_stale_read_of_a_missing_barrier",),
    ),
    Mutant(
        "barrier: a party that leaves is not told that it has passed",
        (
            Edit(
                BARRIERS,
                "raise NotStanding(Outcome.BROKEN if place is None else rules.outcome(barrier, holder, place))",
                "raise NotStanding(Outcome.BROKEN)",
            ),
        ),
        ("a_party_leaves_when_it_has_just_passed",),
    ),
    Mutant(
        "barrier: an arrival that was not answered is forgotten with the session",
        (Edit(BARRIERS, "        return rules.place_of(barrier, holder) or sent\n", "        return None\n"),),
        ("an_arrival_is_not_answered_before_the_session_is_lost",),
    ),
    Mutant(
        "barrier: an arrival that was not answered is forgotten with those who passed",
        (Edit(BARRIERS, "            _remember(self._sent, holder, place)  # Should", "            0  # Should"),),
        ("an_arrival_is_not_answered_before_others_have_passed_behind_it",),
    ),
)
