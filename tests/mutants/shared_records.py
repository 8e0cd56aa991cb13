"""Deliberate bugs in the rules of semaphores, events, conditions and barriers, and in what they all share."""

from __future__ import annotations

from tests.mutants.mutant import Edit, Mutant

SHARED = "elector_server/rules/shared.py"
SEMAPHORE = "elector_server/rules/semaphore.py"
EVENT = "elector_server/rules/event.py"
CONDITION = "elector_server/rules/condition.py"
BARRIER = "elector_server/rules/barrier.py"

SHARED_TESTS = ("tests/rules/test_shared.py",)
SEMAPHORE_TESTS = ("tests/rules/test_semaphore_machine.py", "tests/rules/test_semaphore.py")
EVENT_TESTS = ("tests/rules/test_event.py",)
CONDITION_TESTS = ("tests/rules/test_condition.py",)
BARRIER_MACHINE = ("tests/rules/test_barrier_machine.py",)
BARRIER_TESTS = (*BARRIER_MACHINE, "tests/rules/test_barrier.py")


def _semaphore(name: str, old: str, new: str, file: str = SEMAPHORE) -> Mutant:
    return Mutant(f"semaphore: {name}", (Edit(file, old, new),), tests=SEMAPHORE_TESTS)


def _event(name: str, old: str, new: str) -> Mutant:
    return Mutant(f"event: {name}", (Edit(EVENT, old, new),), tests=EVENT_TESTS)


def _condition(name: str, old: str, new: str, file: str = CONDITION) -> Mutant:
    return Mutant(f"condition: {name}", (Edit(file, old, new),), tests=CONDITION_TESTS)


def _barrier(name: str, old: str, new: str, tests: tuple[str, ...] = BARRIER_TESTS) -> Mutant:
    return Mutant(f"barrier: {name}", (Edit(BARRIER, old, new),), tests=tests)


_SEMAPHORES = (
    _semaphore(
        "permit released twice after a retry",
        "        return digest(operation) in self.last\n",
        "        return operation in self.last\n",
        SHARED,
    ),
    _semaphore(
        "a permit that somebody took over comes back when its holder dies",
        "permits=tuple(left[max(0, others) :]), extra=semaphore.extra + grown",
        "permits=tuple(left), extra=semaphore.extra + max(0, others)",
    ),
    _semaphore("who holds none gives back the newest", "left[max(0, others) :]", "left[: len(left) - max(0, others)]"),
    _semaphore(
        "who holds some gives back the oldest all the same", "holders = frozenset(own)", "holders = frozenset()"
    ),
    _semaphore("a release of several is done in part", "    if grown and semaphore.terms.bounded:", "    if False:"),
    _semaphore("a plain one does not grow", "extra=semaphore.extra + grown", "extra=semaphore.extra"),
    _semaphore(
        "the last to come is the first to be served",
        "queue=(*semaphore.queue, claimant)",
        "queue=(claimant, *semaphore.queue)",
    ),
    _semaphore(
        "a permit goes to a dead elector's ticket",
        "        if not at.ended(first.hold.session):\n            semaphore = _granted(semaphore, first, at)\n",
        "        semaphore = _granted(semaphore, first, at)\n",
    ),
    _semaphore(
        "a permit of one that left goes to nobody",
        "return _promoted(replace(self, permits=_without(self.permits, hold), queue=without(self.queue, hold)), at)",
        "return replace(self, permits=_without(self.permits, hold), queue=without(self.queue, hold))",
    ),
    _semaphore(
        "a permit of one that left does not come back", "permits=_without(self.permits, hold), queue=", "queue="
    ),
    _semaphore(
        "a permit is known by its holder alone",
        "if permit.claimant.hold != hold)",
        "if permit.claimant.hold.holder != hold.holder)",
    ),
    _semaphore(
        "a permit released is granted to nobody that waits",
        "    return _promoted(replace(semaphore, permits=tuple(left",
        "    return (lambda record, _: record)(replace(semaphore, permits=tuple(left",
    ),
    _semaphore("two tenures have one token", "token = at.version + 1 if", "token = at.version if"),
    _semaphore(
        "a created permit's token rises with each write",
        "permit if permit.token is not None else replace(permit, token=version) for permit",
        "permit for permit",
    ),
    _semaphore("any token that is presented is taken", "0 < presented <= version", "True"),
    _semaphore(
        "who asks again gets a second permit",
        "    if semaphore.standing(claimant.hold.holder) is not None:\n        return semaphore\n",
        "",
    ),
    _semaphore(
        "other terms are taken while permits are held", "return not self.permits and not self.queue", "return True"
    ),
    _semaphore("terms of somebody who lives are overruled", "return alone if used_by", "return True if used_by"),
    _semaphore("a single try waits", "    if not queues:\n        raise NoPermit\n", ""),
    _semaphore(
        "an adopted permit keeps its old epoch",
        "            Permit(claimant, permit.acquired_at",
        "            Permit(permit.claimant, permit.acquired_at",
    ),
    _semaphore("it has room for any number of waiters", "len(semaphore.queue) >= CLAIMANTS_MAX", "False"),
)

_EVENTS = (
    _event("generation lost on clear", "event.generation + is_set", "event.generation + 1 if is_set else 0"),
    _event("clear counts as a set", "event.generation + is_set", "event.generation + 1"),
    _event("set leaves the generation", "event.generation + is_set", "event.generation"),
    _event("a waiter sees only what is set now", "event.is_set or (", "event.is_set and ("),
    _event("what was set before a wait began lets it pass", "since is not None and event", "event"),
    _event("a clear of a deleted event lets waiters pass", "not in (0, since)", "!= since"),
    _event("clear leaves the flag", "is_set=is_set, generation", "is_set=is_set or event.is_set, generation"),
)

_CONDITIONS = (
    _condition(
        "notify wakes the newest", "for ticket in condition.tickets:\n", "for ticket in condition.tickets[::-1]:\n"
    ),
    _condition(
        "one that was notified is notified again",
        "is_next = not ticket.notified and notified",
        "is_next = notified",
    ),
    _condition(
        "a notification of one that left is lost",
        "return notify(left, at, 1)[0] if was_notified else left",
        "return left",
    ),
    _condition(
        "one that leaves wakes another in any case",
        "return notify(left, at, 1)[0] if was_notified else left",
        "return notify(left, at, 1)[0]",
    ),
    _condition("a dead elector's waiter is notified", " and not at.ended(ticket.claimant.hold.session)", ""),
    _condition("notify_all wakes one", "len(condition.tickets) if waiters is None", "1 if waiters is None"),
    _condition("notify wakes all", "notified < left", "True"),
    _condition(
        "who asks again is enqueued twice",
        "    if condition.ticket_of(claimant.hold.holder) is not None:\n        return condition\n",
        "",
    ),
    _condition(
        "the last to come is the first to be woken",
        "tickets=(*condition.tickets, Ticket(claimant))",
        "tickets=(Ticket(claimant), *condition.tickets)",
    ),
    _condition(
        "an adopted waiter forgets that it was notified",
        "replace(ticket, claimant=claimant) if",
        "Ticket(claimant) if",
    ),
    _condition(
        "the third elector that waits looks at nobody",
        "waiting = tuple(ticket.claimant for ticket in self.tickets if not ticket.notified)",
        "waiting = (ticket.claimant for ticket in self.tickets if not ticket.notified)",
    ),
    _condition("a stored notification is lost", '| {"notified": True} if', "| {} if"),
    Mutant(
        "condition: notify before enqueue",
        (
            Edit(
                "metaparticle_sync/condition.py",
                "            ticket.enqueue()\n            return self._release_save()\n",
                "            state = self._release_save()\n            ticket.enqueue()\n            return state\n",
            ),
        ),
        tests=("tests/client/test_condition.py",),
    ),
)

_BARRIERS = (
    _barrier(
        "counting a repeated arrival",
        "    if standing is not None:\n        return barrier, standing\n",
        "",
    ),
    _barrier(
        "the first to arrive acts",
        "        if barrier.arrived[barrier.parties - 1].acts:\n",
        "        if barrier.arrived[0].acts:\n",
        BARRIER_MACHINE,
    ),
    _barrier(
        "anybody opens it",
        "    if acting is None or acting.hold.holder != holder:\n        raise BarrierBroken\n",
        "    if acting is None:\n        raise BarrierBroken\n",
    ),
    _barrier("all who wait act", "State.ACTING and index == barrier.parties - 1 else", "State.ACTING else"),
    _barrier(
        "one party more than there are",
        "len(barrier.arrived) >= barrier.parties:",
        "len(barrier.arrived) > barrier.parties:",
        BARRIER_MACHINE,
    ),
    _barrier(
        "a party that goes leaves the others waiting",
        "return (_broken_behind(self) if is_late else _broken(self)).forget(hold)",
        "return replace(self, arrived=tuple(party for party in self.arrived if party.claimant.hold != hold))",
    ),
    _barrier(
        "a late one that goes breaks those who have all come",
        "_broken_behind(self) if is_late else _broken(self)",
        "_broken(self)",
    ),
    _barrier(
        "a late one that goes breaks nothing",
        "    if generation in barrier.broken_generations:\n"
        "        return _broken(replace(barrier, generation=generation, arrived=left))\n",
        "",
    ),
    _barrier(
        "who arrives behind a late one that went waits for ever",
        " or barrier.generation + 1 in barrier.broken_generations",
        "",
    ),
    _barrier("the late are lost when it opens", "left = barrier.arrived[barrier.parties :]", "left = ()"),
    _barrier(
        "a broken party passes once there was a reset",
        "broken_generations=tuple(remembered),",
        "broken_generations=(),",
    ),
    _barrier(
        "a reset gives out the places of the late again",
        "last = max((barrier.generation, *broken.broken_generations))",
        "last = barrier.generation",
    ),
    _barrier("a reset begins no new generation", "generation=broken.generation + 1)", "generation=broken.generation)"),
    _barrier(
        "who names other parties breaks it for those who wait",
        "    if barrier.arrived and barrier.parties != parties:\n        raise _differ",
        "    if False:\n        raise _differ",
    ),
    _barrier(
        "abort of an empty one does nothing",
        "return _broken(_meant(barrier, parties))",
        "return _broken(barrier) if barrier else Barrier(parties)",
    ),
    _barrier("nobody has to be told that it broke", "broken=(*barrier.broken, *told)", "broken=barrier.broken"),
    _barrier(
        "who arrives at a broken one waits", "barrier.state is State.BROKEN or barrier.generation", "barrier.generation"
    ),
    _barrier(
        "the generation stays when it opens",
        "    generation = barrier.generation + 1\n    left",
        "    generation = barrier.generation\n    left",
    ),
    _barrier(
        "late arrivals open it one by one, in a recursion",
        "        barrier = _next(barrier)\n    return barrier\n",
        "        return _opened_while_full(_next(barrier))\n    return barrier\n",
    ),
    _barrier(
        "everybody looks at the elector that arrived first", "sessions[sessions.index(session) - 1]", "sessions[0]"
    ),
    _barrier(
        "another number of parties is taken while some stand there",
        "if not barrier.arrived and (used_by",
        "if (used_by",
    ),
    _barrier("an adopted party does not act", "replace(party, claimant=claimant) if", "Party(claimant, acts=False) if"),
    _barrier(
        "a party is known by its holder alone",
        "enumerate(self.arrived) if party.claimant.hold == hold]",
        "enumerate(self.arrived) if party.claimant.hold.holder == hold.holder]",
    ),
)

_ALL_KINDS = (
    Mutant(
        "shared: operations are forgotten at once",
        (Edit(SHARED, "OPERATIONS_REMEMBERED: Final = 32", "OPERATIONS_REMEMBERED: Final = 0"),),
        tests=SHARED_TESTS,
    ),
    Mutant(
        "shared: what may be forgotten passes for not done",
        (Edit(SHARED, "return self.count - since > OPERATIONS_REMEMBERED or self.count < since", "return False"),),
        tests=SHARED_TESTS,
    ),
    Mutant(
        "shared: whoever waits looks at itself",
        (Edit(SHARED, "    leases.pop(session, None)\n", ""),),
        tests=SHARED_TESTS,
    ),
    Mutant(
        "shared: an adopted claimant is known by its holder alone",
        (Edit(SHARED, " and claimant.hold.session == other.hold.session", ""),),
        tests=SHARED_TESTS,
    ),
    Mutant(
        "shared: one that leaves takes its namesake of another epoch along",
        (Edit(SHARED, "if claimant.hold != hold)", "if claimant.hold.holder != hold.holder)"),),
        tests=SHARED_TESTS,
    ),
)

SHARED_RECORDS = (*_SEMAPHORES, *_EVENTS, *_CONDITIONS, *_BARRIERS, *_ALL_KINDS)
