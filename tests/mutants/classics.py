"""The classic mistakes of lease-based locks."""

from __future__ import annotations

from tests.mutants.mutant import Edit, Mutant

ACQUISITIONS = "elector_server/acquisitions.py"
CLIENTS = "elector_server/clients.py"
CLIENT_SESSIONS = "elector_server/client_sessions.py"
DURATIONS = "elector_server/durations.py"
FOREIGN = "elector_server/foreign_sessions.py"
KEEPER = "elector_server/session_keeper.py"
LOCK = "elector_server/rules/lock.py"
MEMORY = "elector_server/store/memory.py"
NAMED = "elector_server/named_lock.py"
OWN = "elector_server/own_session.py"
SESSION = "elector_server/rules/session.py"
SWEEP = "elector_server/sweep.py"
WRITES = "elector_server/writes.py"

CLASSICS = (
    Mutant(
        "deadline counted from the answer",
        (
            Edit(
                OWN,
                "self._committed(wanted, self._version, earliest_sent_at)",
                "self._committed(wanted, self._version, self._clock.now())",
            ),
            Edit(
                OWN,
                "self._committed(wanted, record.version, earliest_sent_at)",
                "self._committed(wanted, record.version, self._clock.now())",
            ),
        ),
        ("slow_answer_then_partition",),
    ),
    Mutant(
        "deadline from the last send instead of the first",
        (
            Edit(
                OWN,
                "earliest_sent_at = sent_at if earliest_sent_at is None else earliest_sent_at",
                "earliest_sent_at = sent_at",
            ),
        ),
        ("the_first_unanswered_send_counts",),
    ),
    Mutant(
        "H = D",
        (Edit(DURATIONS, "return lease_seconds - max(2.0, lease_seconds / 6)", "return lease_seconds"),),
        ("fast_observer_against_slow_holder",),
    ),
    Mutant(
        "blind renew",
        (
            Edit(
                OWN,
                "found, before = Session.from_spec(record.spec), self._current()",
                "self._version = record.version\n        return _Found.MOVED\n"
                "        found, before = Session.from_spec(record.spec), self._current()",
            ),
        ),
        ("two_processes_under_one_identity",),
        seeds=400,
    ),
    Mutant(
        "renew without checking seq, nor the version",
        (
            Edit(
                OWN,
                "return session.nonce, session.epoch, session.seq, session.state",
                "return session.nonce, session.epoch, 0, session.state",
            ),
            Edit(OWN, "                    self._versions.check(self._version, newest_before)\n", ""),
        ),
        ("a_label_on_the_session_record",),
    ),
    Mutant(
        "timeout of a renewal taken for success",
        (
            Edit(
                OWN,
                "            except StoreUnavailable as error:\n"
                "                self._note_failed_renewal(error)\n"
                "                await backoff.pause()\n",
                "            except StoreUnavailable:\n"
                "                return self._committed(wanted, self._version, earliest_sent_at)\n",
            ),
        ),
        ("a_holder_is_told_by_its_deadline", "a_lost_session_is_never_revived"),
    ),
    Mutant(
        "a refused create taken for success after a timeout",
        (
            Edit(
                NAMED,
                "                except (Exists, Conflict):\n",
                "                except Exists:\n"
                "                    claimant = next(iter(self._waiters.values())).claimant(session)\n"
                '                    self._wrote(self._version + 1, rules.claim(claimant, ""))\n'
                "                except Conflict:\n",
            ),
        ),
        ("a_timeout_is_no_success",),
    ),
    Mutant(
        "no timeout of requests to the store",
        (Edit(WRITES, "async with clock.timeout(seconds):", "async with clock.timeout(1e6):"),),
        ("a_lost_read_is_asked_again",),
    ),
    Mutant(
        "token counter reset by delete",
        (
            Edit(
                LOCK,
                "return version if lock.token is None else lock.token",
                "return 1 if lock.token is None else lock.token",
            ),
        ),
        ("a_deleted_lock_s_token_is_never_given_again",),
        seeds=20,
    ),
    Mutant(
        "the token of a created hold is not written down",
        (
            Edit(
                LOCK,
                "return replace(lock, token=token_of(lock, version), queue=queue)",
                "return replace(lock, queue=queue)",
            ),
        ),
        ("a_clean_release_reaches_the_next_at_once",),
        seeds=20,
    ),
    Mutant(
        "a hand-off does not raise the token",
        (Edit(LOCK, "token=version + 1, queue=queue[1:])", "token=token_of(lock, version), queue=queue[1:])"),),
        ("a_clean_release_reaches_the_next_at_once",),
    ),
    Mutant(
        "steal without observation",
        (Edit(FOREIGN, "if rules.is_silent(observer.observation, session, seen_at):", "if True:"),),
        ("a_live_session_is_never_ended",),
        seeds=20,
    ),
    Mutant(
        "an observation that renewals do not restart",
        (Edit(SESSION, "if before is not None and before.mark == mark:", "if before is not None:"),),
        ("a_live_session_is_never_ended",),
    ),
    Mutant(
        "a sighting counted from the send of the read",
        (
            Edit(
                FOREIGN,
                "record = await attempt(self._clock, seconds, lambda: self._store.get(KIND, observer.id))",
                "sent_at = self._clock.now()\n"
                "        record = await attempt(self._clock, seconds, lambda: self._store.get(KIND, observer.id))",
            ),
            Edit(FOREIGN, "seen_at = self._clock.now()\n        session =", "seen_at = sent_at\n        session ="),
        ),
        ("a_sighting_counts_from_its_receipt",),
    ),
    Mutant(
        "the observer's lease instead of the record's",
        (
            Edit(
                SESSION,
                "return now - observation.observed_at >= observation_seconds(session.lease_seconds)",
                "return now - observation.observed_at >= observation_seconds(10.0)",
            ),
        ),
        ("an_observer_waits_for_the_lease_of_the_observed",),
    ),
    Mutant(
        "wall clocks compared between machines",
        (
            Edit(
                FOREIGN,
                "if rules.is_silent(observer.observation, session, seen_at):",
                "age = __import__('datetime').datetime.fromisoformat(self._clock.wall())"
                " - __import__('datetime').datetime.fromisoformat(session.renewed_at)\n"
                "        if age.total_seconds() >= rules.observation_seconds(session.lease_seconds):",
            ),
        ),
        seeds=100,
    ),
    Mutant(
        "taking before the session is ended in the store",
        (
            Edit(
                FOREIGN,
                "        if rules.is_silent(observer.observation, session, seen_at):\n            await self._end",
                "        if rules.is_silent(observer.observation, session, seen_at):\n"
                "            self.note_ended(observer.id)\n"
                "            await self._end",
            ),
        ),
        ("a_stale_sighting_ends_nothing",),
    ),
    Mutant(
        "delete without guard",
        (
            Edit(
                MEMORY,
                "    async def delete(self, kind: str, name: str, version: int) -> None:\n",
                "    async def delete(self, kind: str, name: str, version: int) -> None:\n"
                "        version = self._of_kind(kind)[name].version if name in self._of_kind(kind) else version\n",
            ),
        ),
        ("a_release_guarded_by_its_version", "a_release_in_flight_when_its_elector_restarted"),
    ),
    Mutant(
        "write without version",
        (
            Edit(
                MEMORY,
                "async def replace(self, kind: str, name: str, version: int, session: str, spec: Spec) -> Record:\n",
                "async def replace(self, kind: str, name: str, version: int, session: str, spec: Spec) -> Record:\n"
                "        version = self._of_kind(kind)[name].version if name in self._of_kind(kind) else version\n",
            ),
        ),
        ("a_late_renewal_lands_after_a_newer_one",),
        seeds=100,
    ),
    Mutant(
        "release by anyone",
        (
            Edit(
                ACQUISITIONS,
                "        if owner.id != client_id:\n            raise NotHeld(name, lock.describe_holder())\n",
                "",
            ),
        ),
        ("a_stranger_can_not_release",),
    ),
    Mutant(
        "a client may believe longer than its elector does",
        (
            Edit(
                CLIENT_SESSIONS,
                "return max(0.0, min(session.valid_seconds(), client_seconds))",
                "return max(0.0, client_seconds)",
            ),
        ),
        ("a_paused_elector_costs_no_safety",),
    ),
    Mutant(
        "a client may believe longer than its own time",
        (
            Edit(
                DURATIONS,
                "return self.client_ttl_seconds - self.client_ttl_seconds / 10",
                "return self.client_ttl_seconds * 1.5",
            ),
        ),
        ("a_silent_client_loses_its_locks",),
    ),
    Mutant(
        "silent clients are never given up",
        (Edit(CLIENTS, "return now >= client.heard_at + self.durations.client_ttl_seconds", "return False"),),
        ("a_silent_client_loses_its_locks",),
    ),
    Mutant(
        "release on any broken connection",
        (
            Edit(
                CLIENTS,
                "proven = by_peer and not self._ended and self._client.witness == self.peer and is_loopback(self.peer)",
                "proven = by_peer and not self._ended",
            ),
        ),
        ("a_broken_proxy_is_no_death",),
    ),
    Mutant(
        "the end of a proven stream is ignored",
        (
            Edit(
                CLIENTS,
                "proven = by_peer and not self._ended and self._client.witness == self.peer and is_loopback(self.peer)",
                "proven = False",
            ),
        ),
        ("a_proven_death_frees_at_once",),
    ),
    Mutant(
        "a waiter between two polls is never dropped",
        (
            Edit(
                ACQUISITIONS,
                "if waiter.generation == generation and lock.find(waiter.holder) is waiter:",
                "if False:",
            ),
        ),
        ("a_vanished_waiter_is_dropped",),
    ),
    Mutant(
        "a grant that nobody fetched is kept",
        (Edit(NAMED, "if not hold.reclaimed and self.hold is hold:", "if False:"),),
        ("a_grant_between_two_polls_is_passed_on",),
    ),
    Mutant(
        "a waiter loses its place between two polls",
        (Edit(ACQUISITIONS, "GAP_SECONDS: Final = 2.0", "GAP_SECONDS: Final = 0.0"),),
        ("a_grant_between_two_polls_is_fetched",),
    ),
    Mutant(
        "a lost session is left to lapse",
        (Edit(KEEPER, "core.background.start(self._retire(session))", "pass"),),
        ("a_lost_session_is_never_revived",),
    ),
    Mutant(
        "last come, first served",
        (
            Edit(
                LOCK,
                "return Lock(claimant=queue[0], acquired_at=wall, token=version + 1, queue=queue[1:])",
                "return Lock(claimant=queue[-1], acquired_at=wall, token=version + 1, queue=queue[:-1])",
            ),
        ),
        ("first_come_first_served",),
    ),
    Mutant(
        "an elector passes over the others in the queue",
        (
            Edit(
                LOCK,
                "others.insert(places[0] if places else len(others), ticket)",
                "others.insert(0, ticket)",
            ),
        ),
        ("first_come_first_served", "nobody_starves_behind_a_busy_pod"),
    ),
    Mutant(
        "tickets of ended sessions stay in the queue",
        (
            Edit(
                LOCK,
                "ticket for ticket in lock.queue if not ended(ticket.hold.session)",
                "ticket for ticket in lock.queue if True or ended(ticket.hold.session)",
            ),
        ),
        ("a_known_dead_ticket_costs_nothing",),
    ),
    Mutant(
        "a vanished record is not told",
        (Edit(NAMED, "if self.hold is not None and self.hold.version < version:", "if False:"),),
        ("a_lock_deleted_by_hand_is_told_at_once", "a_lock_deleted_by_hand_is_told_by_the_next_list"),
    ),
    Mutant(
        "a stale list counts",
        (Edit(NAMED, "if self.hold is not None and self.hold.version < version:", "if self.hold is not None:"),),
        ("a_stale_list_costs_nothing",),
    ),
    Mutant(
        "the sweeper ends live sessions",
        (
            Edit(
                SWEEP,
                "        if not rules.is_silent(observation, session, seen_at):\n            return\n",
                "",
            ),
        ),
        ("the_sweeper_ends_only_the_silent",),
    ),
    Mutant(
        "the sweeper frees nothing",
        (
            Edit(
                SWEEP,
                "note_ended(session_id)\n        await self._free_records_of(session_id)\n",
                "note_ended(session_id)\n",
            ),
        ),
        ("the_sweeper_ends_only_the_silent",),
    ),
    Mutant(
        "watches never polled",
        (
            Edit(
                DURATIONS,
                "return self.lease_seconds / 5\n\n    @property\n    def tick_seconds",
                "return 1e6\n\n    @property\n    def tick_seconds",
            ),
        ),
        ("a_missed_change_is_found_by_the_poll",),
    ),
)
