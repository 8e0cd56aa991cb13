"""Deliberate bugs in what an elector does with the records of semaphores, events, conditions and barriers."""

from __future__ import annotations

from tests.mutants.mutant import Edit, Mutant

DECIDING = "elector_server/deciding.py"
DECIDING_TESTS = ("tests/rules/test_deciding.py",)
ELECTOR_TESTS = ("tests/elector/test_shared_records.py",)
REPEAT_TESTS = ("tests/elector/test_shared_repeats.py",)


def _deciding(name: str, old: str, new: str) -> Mutant:
    return Mutant(f"deciding: {name}", (Edit(DECIDING, old, new),), tests=DECIDING_TESTS)


def _elector(name: str, file: str, old: str, new: str) -> Mutant:
    return Mutant(f"elector: {name}", (Edit(f"elector_server/{file}", old, new),), tests=ELECTOR_TESTS)


def _repeat(name: str, file: str, old: str, new: str) -> Mutant:
    return Mutant(f"repeat: {name}", (Edit(f"elector_server/{file}", old, new),), tests=REPEAT_TESTS)


_DECISIONS = (
    _deciding("what was done is done again", "self.is_remembered and self.id in record.operations", "False"),
    _deciding(
        "of many operations in one write, only the last ones are known as done",
        "was_sent and self.sent_with in record.operations",
        "False",
    ),
    _deciding(
        "what was done is not remembered",
        "changed.remembering(request.id) if request.is_remembered else changed",
        "changed",
    ),
    _deciding(
        "what nobody can know counts as not done", "before is not None and _may_be_forgotten(request, before)", "False"
    ),
    _deciding(
        "the answer of a write that had its effect is made up",
        "request.again(record) if request.sent_over is None else request.sent",
        "request.again(record)",
    ),
    _deciding("who gave up stays", "    if holder in wishes.leaving:\n        return True\n", ""),
    _deciding("a late write of nobody's stays", "return claimant.hold.epoch == wishes.epoch or not", "return not"),
    _deciding("grace is over at once", " or not wishes.in_grace", " or True"),
    _deciding(
        "another session's claimants are strays as well",
        "if claimant.hold.session == wishes.session and _is_stray",
        "if _is_stray",
    ),
    _deciding("a newer epoch is ours", "        raise AdoptedElsewhere\n", "        return False\n"),
    _deciding(
        "one that was told passes its notification on",
        "record = record.forget(claimant.hold)",
        "record = record.leave(claimant.hold, None)",
    ),
    _deciding("the dead stay", "        if at.ended(claimant.hold.session):\n", "        if False:\n"),
    _deciding(
        "each elector writes when another one dies",
        "changed=living != before and (wishes.is_awaited or wishes.tidy)",
        "changed=living != before",
    ),
    _deciding("nobody writes when an elector dies", "(wishes.is_awaited or wishes.tidy))", "wishes.tidy)"),
)

_REPEATS = (
    _repeat(
        "what was done is done again with a later write",
        "deciding.py",
        "            if not request.is_concluded:\n                request.sent = request.sent_over = None\n",
        "            request.sent = request.sent_over = None\n            request.is_concluded = False\n",
    ),
    _repeat(
        "a ticket of a session before is taken for one's own",
        "semaphores.py",
        "if not any(found.hold == member.claimant.hold for found in acquired.claimants()):",
        "if False:",
    ),
    _repeat(
        "what nobody can know of counts as got",
        "semaphores.py",
        "        def on_forgotten() -> None:\n            member.was_admitted = False\n",
        "        def on_forgotten() -> None:\n            pass\n",
    ),
    _repeat(
        "a permit taken over during a restart was never there",
        "semaphores.py",
        "return int(digest(holder) in semaphore.taken_over)",
        "return 0",
    ),
    _repeat(
        "an open that the record has forgotten breaks the barrier",
        "barriers.py",
        'if barrier is not None and transition == OPEN and rules.was_opened_by(barrier, holder or ""):',
        "if False:",
    ),
)

_AT_THE_ELECTOR = (
    _elector(
        "an operation that the record has forgotten is done again",
        "named_record.py",
        "            if (self.kind, self.name, request_id) in self._core.answered:\n",
        "            if False:\n",
    ),
    _elector(
        "a permit that is not there is granted to who comes back",
        "semaphores.py",
        "if member.place and semaphore is not None",
        "if semaphore is not None",
    ),
    _elector(
        "a permit that turns out to be gone late is still believed in",
        "permits.py",
        "            self._core.background.start(self._tell_late(record, member, hold))\n",
        "",
    ),
    _elector(
        "a permit that went back in the process before goes back again",
        "semaphores.py",
        "has_joined=member.was_admitted",
        "has_joined=hold.holder in semaphore.operations",
    ),
    _elector(
        "a release that was never asked for may have been done",
        "semaphores.py",
        "heard is not None and heard.incarnation != incarnation",
        "heard is not None",
    ),
    _elector(
        "a try that withdraws and is given up makes a permit",
        "semaphores.py",
        "return record.asked(end_of(holder)) or record.leave(holder)",
        "return record.leave(holder)",
    ),
    _elector(
        "a try that ends unheard takes a release with it",
        "semaphores.py",
        "has_joined=member.was_admitted",
        "has_joined=bool(member.place)",
    ),
    _elector(
        "a slow confirmation is waited for in vain",
        "semaphores.py",
        "        self._joins(record, member, self._confirmation(record, member, None))\n        return member\n",
        "        self._confirmation(record, member, None)\n        return member\n",
    ),
    _elector(
        "a waiter of a deleted semaphore waits for ever",
        "semaphores.py",
        "        if standing is None:\n            return self._of_one",
        "        if semaphore is None:\n            return None\n"
        "        if standing is None:\n            return self._of_one",
    ),
    _elector(
        "permits that others gave back pile up",
        "permits.py",
        "elif semaphore.standing(member.holder) is None:",
        "elif False:",
    ),
    _elector(
        "a last party that gives up while it arrives leaves a half barrier",
        "barriers.py",
        "        if holder in self._places or barrier is None:\n",
        "        if True:\n",
    ),
    _elector(
        "an unnamed record is deleted under its new user",
        "named_record.py",
        "self._record is None or self._core.users.is_used(self.kind, self.name):",
        "self._record is None:",
    ),
    _elector(
        "a waiter that withdraws twice loses its notification",
        "conditions.py",
        "unknown = WITHDRAWN if pass_on else NOTIFIED",
        "unknown = WITHDRAWN",
    ),
)

SHARED_ELECTOR = (*_DECISIONS, *_REPEATS, *_AT_THE_ELECTOR)
