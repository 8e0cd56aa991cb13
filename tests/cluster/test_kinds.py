"""Semaphores, events, conditions and barriers as objects: what kubectl shows, and what the definitions refuse."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeVar

import pytest
import yaml

from elector_server.rules import barrier, condition, event, semaphore
from elector_server.rules.claimant import Claimant
from elector_server.rules.shared import CLAIMANTS_MAX, Operations
from elector_server.store import Record, Spec, Store, StoreUnavailable
from elector_server.store.kubernetes_columns import COUNTS
from elector_server.store.kubernetes_objects import PLURALS
from tests.cluster.control_plane import Refused
from tests.cluster.namespaces import Namespace
from tests.cluster.test_deploy import definitions
from tests.cluster.test_electors import columns
from tests.stores.kinds import EVERYTHING, UNUSED, WALL, claimant

T = TypeVar("T")

KINDS: Final = tuple(UNUSED)
MERGE: Final = "application/merge-patch+json"

OLD: Final = Operations(5, ("a" * 16,))
FORGOTTEN: Final = Operations(4, ())


def use(namespace: Namespace, work: Callable[[Store], Awaitable[T]]) -> T:
    """Do something with a store as the elector of a pod has it."""

    async def run() -> T:
        store = namespace.store()
        try:
            return await asyncio.wait_for(work(store), 30)
        finally:
            await store.close()

    return asyncio.run(run())


def write(namespace: Namespace, kind: str, *specs: Spec, name: str = "a") -> Record:
    """A record that is created with the first of them, and written over with each of the others."""

    async def work(store: Store) -> Record:
        record = await store.create(kind, name, "", specs[0])
        for spec in specs[1:]:
            record = await store.replace(kind, name, record.version, "", spec)
        return record

    return use(namespace, work)


def path(namespace: Namespace, kind: str, name: str = "") -> str:
    collection = f"/apis/metaparticle.io/v1/namespaces/{namespace.name}/{PLURALS[kind]}"
    return f"{collection}/{name}" if name else collection


def semaphore_of(
    limit: int,
    *holders: int,
    bounded: bool = False,
    extra: int = 0,
    queue: tuple[Claimant, ...] = (),
    operations: Operations = OLD,
) -> Spec:
    permits = tuple(semaphore.Permit(claimant(number), WALL, 7) for number in holders)
    return semaphore.Semaphore(
        semaphore.Terms(limit, bounded), extra, permits, queue, claimant(1), operations, ("taken over",)
    ).to_spec()


def event_of(generation: int, *, is_set: bool = True, operations: Operations = OLD) -> Spec:
    return event.Event(is_set, generation, WALL, operations).to_spec()


def condition_of(*tickets: condition.Ticket, operations: Operations = OLD) -> Spec:
    return condition.Condition(tickets, operations).to_spec()


def barrier_of(
    parties: int, state: barrier.State, *arrived: int, generation: int = 3, operations: Operations = OLD
) -> Spec:
    those = tuple(barrier.Party(claimant(number), acts=True) for number in arrived)
    return barrier.Barrier(
        parties=parties,
        generation=generation,
        state=state,
        arrived=those,
        broken=(claimant(9),),
        used_by=claimant(1),
        operations=operations,
    ).to_spec()


FILLING, ACTING, BROKEN = barrier.State.FILLING, barrier.State.ACTING, barrier.State.BROKEN
NOTIFIED, WAITING = condition.Ticket(claimant(1), notified=True), condition.Ticket(claimant(2))

SHOWN: dict[str, tuple[Spec, dict[str, str], dict[str, str]]] = {
    "semaphore": (
        semaphore_of(3, 1, 2, queue=(claimant(3),)),
        {"SEMAPHORE": "The Go", "LIMIT": "3", "FREE": "1", "HELD": "2", "WAITERS": "1"},
        {"BOUNDED": "false", "HOLDER": "pod-1"},
    ),
    "event": (event_of(4), {"EVENT": "The Go", "SET": "true"}, {"GENERATION": "4"}),
    "condition": (
        condition_of(NOTIFIED, WAITING, WAITING),
        {"CONDITION": "The Go", "WAITERS": "2", "NOTIFIED": "1"},
        {"FIRST": "pod-1"},
    ),
    "barrier": (
        barrier_of(4, FILLING, 1, 2),
        {"BARRIER": "The Go", "PARTIES": "4", "WAITING": "2", "STATE": "filling"},
        {"GENERATION": "3"},
    ),
}
"""By the kind: a record, what `kubectl get` shows of it, and what `-o wide` does besides."""


@pytest.mark.parametrize("kind", KINDS)
def test_what_kubectl_get_shows(namespace: Namespace, kind: str) -> None:
    spec, narrow, wide = SHOWN[kind]
    write(namespace, kind, spec, name="The Go")
    words = ("get", f"{PLURALS[kind]}.metaparticle.io", "-n", namespace.name)
    (row,) = columns(namespace.plane.kubectl(*words))
    times = {column for column in ("AGE", "CHANGED") if column in row}
    assert row.keys() == {"NAME"} | narrow.keys() | times
    assert row.items() >= narrow.items()
    assert row["NAME"].startswith("the-go-")
    assert all(row[column].endswith(("s", "m", "h", "d")) for column in times)
    (row,) = columns(namespace.plane.kubectl(*words, "-o", "wide"))
    assert row.items() >= (narrow | wide).items()


def test_every_definition_calls_its_name_column_by_the_kind() -> None:
    """A column called Name would stand there twice."""
    for definition in definitions():
        columns_of = definition["spec"]["versions"][0]["additionalPrinterColumns"]
        if definition["spec"]["names"]["singular"] != "session":
            assert columns_of[0]["name"] == definition["spec"]["names"]["kind"]


@pytest.mark.parametrize("kind", KINDS)
def test_each_begins_with_a_sentence(namespace: Namespace, kind: str) -> None:
    spec, _, _ = SHOWN[kind]
    write(namespace, kind, spec)
    shown = namespace.plane.kubectl("get", f"{kind}.metaparticle.io", "a", "-n", namespace.name, "-o", "yaml")
    assert next(iter(yaml.safe_load(shown)["spec"])) == "about"


def test_the_events_of_kubernetes_stay_what_they_are(namespace: Namespace) -> None:
    write(namespace, "event", event_of(1))
    for words in ("events", "event", "ev"):
        assert namespace.plane.kubectl("get", words, "-n", namespace.name) == ""
    for words in ("mpev", "event.metaparticle.io", "metaparticle"):
        assert "true" in namespace.plane.kubectl("get", words, "-n", namespace.name)


class TestGuards:
    """What a rule must never do is refused by the API server as well, and said in a sentence."""

    @pytest.mark.parametrize("kind", KINDS)
    def test_a_name_never_changes(self, namespace: Namespace, kind: str) -> None:
        write(namespace, kind, UNUSED[kind])
        self.refused_patch(namespace, kind, {"name": "b"}, "never changes")
        self.refused_patch(namespace, kind, {"name": None}, "never changes")

    @pytest.mark.parametrize(
        ("kind", "before", "after"),
        [
            ("semaphore", semaphore_of(2, 1), semaphore_of(2, 1, operations=FORGOTTEN)),
            ("event", event_of(1), event_of(1, operations=FORGOTTEN)),
            ("condition", condition_of(WAITING), condition_of(WAITING, operations=FORGOTTEN)),
            ("barrier", barrier_of(2, FILLING, 1), barrier_of(2, FILLING, 1, operations=FORGOTTEN)),
        ],
    )
    def test_operations_are_not_forgotten(self, namespace: Namespace, kind: str, before: Spec, after: Spec) -> None:
        self.refused(namespace, kind, [before, before, after], "their count never falls")

    def test_a_manifest_takes_the_place_of_no_record_in_use(self, namespace: Namespace) -> None:
        """`kubectl replace` with a file that has the limit only would take the permits away."""
        record = write(namespace, "semaphore", semaphore_of(2, 1, 2))
        made = manifest("semaphore", {"limit": 5})
        made["metadata"]["resourceVersion"] = str(record.version)
        with pytest.raises(Refused, match="never falls"):
            namespace.plane.request("PUT", path(namespace, "semaphore", "a"), made)

    def test_permits_are_not_made_up(self, namespace: Namespace) -> None:
        why = "no more permits are held than there are"
        self.refused(namespace, "semaphore", [semaphore_of(1, 1, 2)], why)
        self.refused(namespace, "semaphore", [semaphore_of(1, 1, 2, extra=1), semaphore_of(1, 1, 2)], why)
        write(namespace, "semaphore", semaphore_of(3, 1, 2), name="limited")
        self.refused_patch(namespace, "semaphore", {"limit": 1}, why, name="limited")

    def test_a_bounded_semaphore_does_not_grow(self, namespace: Namespace) -> None:
        why = "never has more permits than its limit"
        self.refused(namespace, "semaphore", [semaphore_of(1, bounded=True, extra=1)], why)
        write(namespace, "semaphore", semaphore_of(1, extra=1), name="grown")
        self.refused_patch(namespace, "semaphore", {"bounded": True}, why, name="grown")

    def test_the_generation_of_an_event_never_falls(self, namespace: Namespace) -> None:
        self.refused(namespace, "event", [event_of(2), event_of(2, is_set=False), event_of(1)], "never falls")
        self.refused_patch(namespace, "event", {"generation": None}, "never falls")

    def test_the_generation_of_a_barrier_never_falls(self, namespace: Namespace) -> None:
        before, after = barrier_of(2, FILLING, generation=2), barrier_of(2, FILLING, generation=1)
        self.refused(namespace, "barrier", [before, before, after], "never falls")

    def test_a_barrier_is_never_half_open_or_half_broken(self, namespace: Namespace) -> None:
        self.refused(namespace, "barrier", [barrier_of(2, FILLING, 1, 2)], "no longer filling")
        self.refused(namespace, "barrier", [barrier_of(2, ACTING, 1)], "only when all have arrived")
        self.refused(namespace, "barrier", [barrier_of(2, BROKEN, 1)], "nobody waits at a barrier that is broken")
        write(namespace, "barrier", barrier_of(3, FILLING, 1, 2))
        self.refused_patch(namespace, "barrier", {"parties": 2}, "no longer filling")
        self.refused_patch(namespace, "barrier", {"state": "acting"}, "only when all have arrived")
        self.refused_patch(namespace, "barrier", {"state": "broken"}, "nobody waits at a barrier that is broken")

    def test_what_the_rules_do_is_allowed(self, namespace: Namespace) -> None:
        """The states on either side of each refusal above, one after the other."""
        more = Operations(6, ())
        write(
            namespace,
            "semaphore",
            *(semaphore_of(1), semaphore_of(1, 1), semaphore_of(1, extra=1), semaphore_of(1, 1, 2, extra=1)),
            *(semaphore_of(2, 1, 2), semaphore_of(2), semaphore_of(1, bounded=True, operations=more)),
        )
        write(
            namespace,
            "event",
            event_of(0),
            event_of(1),
            event_of(1, is_set=False, operations=more),
            event_of(9, operations=more),
        )
        write(
            namespace,
            "barrier",
            *(barrier_of(2, FILLING), barrier_of(2, FILLING, 1), barrier_of(2, ACTING, 1, 2)),
            *(barrier_of(2, ACTING, 1, 2, 3), barrier_of(2, FILLING, 3, generation=4)),
            *(
                barrier_of(2, BROKEN, generation=4),
                barrier_of(2, FILLING, generation=5),
                barrier_of(1, FILLING, generation=5),
            ),
        )

    @pytest.mark.parametrize("kind", KINDS)
    def test_anybody_may_label_one(self, namespace: Namespace, kind: str) -> None:
        """A label is a write to the whole object, under every rule."""
        record = write(namespace, kind, SHOWN[kind][0])
        words = (f"{kind}.metaparticle.io", "a", "team=x", "-n", namespace.name)
        namespace.plane.kubectl("label", *words)
        labelled = use(namespace, lambda store: store.get(kind, "a"))
        assert labelled is not None
        assert labelled.spec == record.spec

    @staticmethod
    def refused(namespace: Namespace, kind: str, specs: list[Spec], why: str) -> None:
        """All but the last of these writes are carried out."""

        async def work(store: Store) -> None:
            before = await store.get(kind, "a")
            if before is not None:
                await store.delete(kind, "a", before.version)
            *allowed, last = specs
            record: Record | None = None
            for spec in allowed:
                record = await put(store, kind, record, spec)
            with pytest.raises(StoreUnavailable, match=why) as caught:
                await put(store, kind, record, last)
            assert caught.value.code == "record_refused"

        use(namespace, work)

    @staticmethod
    def refused_patch(namespace: Namespace, kind: str, change: dict[str, Any], why: str, name: str = "a") -> None:
        """As somebody would try it by hand."""
        before = namespace.plane.request("GET", path(namespace, kind, name))
        with pytest.raises(Refused, match=why):
            namespace.plane.request("PATCH", path(namespace, kind, name), {"spec": change}, content=MERGE)
        assert namespace.plane.request("GET", path(namespace, kind, name)) == before


async def put(store: Store, kind: str, before: Record | None, spec: Spec) -> Record:
    if before is None:
        return await store.create(kind, "a", "", spec)
    return await store.replace(kind, "a", before.version, "", spec)


def manifest(kind: str, spec: dict[str, Any], name: str = "a") -> dict[str, Any]:
    """What a person writes."""
    metadata = {"name": name}
    return {"apiVersion": "metaparticle.io/v1", "kind": kind.capitalize(), "metadata": metadata, "spec": spec}


class TestMadeByHand:
    @pytest.mark.parametrize(
        ("kind", "required"),
        [("semaphore", {"limit": 3}), ("event", {"isSet": True}), ("condition", {}), ("barrier", {"parties": 3})],
    )
    def test_little_is_enough(self, namespace: Namespace, kind: str, required: dict[str, Any]) -> None:
        applied = yaml.safe_dump(manifest(kind, required))
        namespace.plane.kubectl("apply", "--warnings-as-errors", "-n", namespace.name, "-f", "-", stdin=applied)

        async def work(store: Store) -> tuple[Record, ...]:
            (found,) = (await store.list(kind)).records
            written = await store.replace(kind, "a", found.version, "", UNUSED[kind])
            return found, written

        found, written = use(namespace, work)
        assert (found.name, found.session, len(found.spec)) == ("a", "", len(required))
        assert written.spec == UNUSED[kind]

    @pytest.mark.parametrize(
        ("kind", "spec", "why"),
        [
            ("semaphore", {}, "limit"),
            ("semaphore", {"limit": -1}, "greater than or equal to 0"),
            ("semaphore", {"limit": 2**31}, "less than or equal to"),
            ("barrier", {}, "parties"),
            ("barrier", {"parties": 0}, "greater than or equal to 1"),
            ("barrier", {"parties": 1, "state": "draining"}, "supported values"),
            ("event", {"isSet": "yes"}, "boolean"),
            ("condition", {"tickets": [{"holder": "h"}]}, "session"),
        ],
    )
    def test_what_no_rule_could_read_is_refused(
        self, namespace: Namespace, kind: str, spec: dict[str, Any], why: str
    ) -> None:
        with pytest.raises(Refused, match=why):
            namespace.plane.request("POST", path(namespace, kind), manifest(kind, spec))


class TestBounds:
    """Records with as much in them as the rules let in."""

    @staticmethod
    def longest(number: int) -> Claimant:
        """A pod's name has at most 253 characters, a process' 256."""
        return claimant(number, owner="o" * 253, process="p" * 256)

    def full(self, kind: str) -> Spec:
        those = tuple(self.longest(number) for number in range(CLAIMANTS_MAX))
        used_by, operations = those[0], Operations(32, ("a" * 16,) * 32)
        if kind == "semaphore":
            permits = tuple(semaphore.Permit(one, WALL, 2**63) for one in those)
            return semaphore.Semaphore(
                semaphore.Terms(CLAIMANTS_MAX, bounded=False), 0, permits, those, used_by, operations, ("a" * 16,) * 32
            ).to_spec()
        if kind == "condition":
            return condition.Condition(
                tuple(condition.Ticket(one, notified=True) for one in those), operations
            ).to_spec()
        arrived = tuple(barrier.Party(one, acts=True) for one in those)
        return barrier.Barrier(
            parties=CLAIMANTS_MAX,
            state=barrier.State.ACTING,
            arrived=arrived,
            broken=those[:900],
            used_by=used_by,
            operations=operations,
        ).to_spec()

    @pytest.mark.parametrize("kind", ["semaphore", "condition", "barrier"])
    def test_a_full_record_can_be_stored_and_changed(self, namespace: Namespace, kind: str) -> None:
        spec = self.full(kind)
        record = write(namespace, kind, spec, spec)
        found = use(namespace, lambda store: store.get(kind, "a"))
        assert found == record

    def test_the_counts_of_the_definitions_are_those_that_are_written(self) -> None:
        for definition in definitions():
            kind = definition["spec"]["names"]["singular"]
            spec = definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]
            for_people = {
                name for name, field in spec["properties"].items() if "For people and" in field["description"]
            }
            assert for_people == set(COUNTS.get(kind, ()))


@pytest.mark.parametrize("kind", KINDS)
def test_the_definition_has_every_field_that_is_written(namespace: Namespace, kind: str) -> None:
    """The server refuses a field that it does not know, so each that it takes is described there."""
    stored = write(namespace, kind, EVERYTHING[kind](3))
    raw = namespace.plane.request("GET", path(namespace, kind, "a"))
    assert use(namespace, lambda store: store.get(kind, "a")) == stored
    (spec,) = (
        one["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]
        for one in definitions()
        if one["spec"]["names"]["singular"] == kind
    )
    assert spec["properties"].keys() == raw["spec"].keys()
