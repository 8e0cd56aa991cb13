"""The checker sees each fault that it is there for; no API server is needed for that."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import pytest

from tests.cluster.record_checker import overlap_seconds, violations
from tests.cluster.recorder import StoredWrite, log_of, tenures
from tests.processes.history import Event

OPEN = [("s", {"state": "live", "epoch": 1, "seq": 0}), ("s", {"state": "live", "epoch": 1, "seq": 1})]


def stored(*specs: tuple[str, dict[str, Any] | None]) -> list[StoredWrite]:
    """Writes at the revisions 1, 2, 3...; each is seen at ten times its revision. `s` and `t` are sessions."""
    created: dict[str, int] = {}
    return [_write(created, number, key, spec) for number, (key, spec) in enumerate(specs, start=1)]


def _write(created: dict[str, int], revision: int, key: str, spec: dict[str, Any] | None) -> StoredWrite:
    since = created.setdefault(key, revision)
    kind = "session" if key in {"s", "t"} else "lock"
    if spec is None:
        created.pop(key)
        return StoredWrite(revision, 0, kind, "n", key, None, revision * 10)
    return StoredWrite(revision, since, kind, "n", key, {"spec": {"name": key, **spec}}, revision * 10)


def held(holder: str, token: int | None = None, session: str = "s") -> dict[str, Any]:
    return {"holder": holder, "session": session, "epoch": 1} | ({} if token is None else {"token": str(token)})


def belief(token: int, asked: int, pid: int = 1) -> Event:
    return Event(at=asked + 1, pid=pid, kind="belief", name="x", token=token, asked=asked)


def found(events: list[Event], writes: list[StoredWrite], freed_by_hand: Collection[int] = ()) -> str:
    return "\n".join(violations(events, writes, freed_by_hand))


SOUND = stored(*OPEN, ("x", held("a")), ("x", held("b", 4)), ("x", None), ("x", held("c")))


def test_a_sound_run_passes():
    assert found([belief(3, 31), belief(3, 38), belief(4, 41, pid=2), belief(6, 61), belief(6, 99)], SOUND) == ""


def test_tenures_of_a_sound_run():
    found = [(one.token, one.holder, one.ended.revision if one.ended else None) for one in tenures(SOUND)]
    assert found == [(3, "a", 4), (4, "b", 5), (6, "c", None)]


def test_a_foreign_write_begins_no_tenure_and_changes_no_token():
    writes = stored(*OPEN, ("x", held("a")), ("x", held("a")), ("x", held("a") | {"epoch": 2}))
    assert [tenure.token for tenure in tenures(writes)] == [3]
    assert [write.spec["token"] for write in log_of(writes) if write.kind == "lock" and write.spec] == ["3", "3", "3"]
    assert found([belief(3, 31), belief(3, 99)], writes) == ""


def test_a_token_that_a_waiter_overstates_is_none():
    writes = stored(*OPEN, ("x", held("a")), ("x", held("a")), ("x", held("a", 4)), ("x", held("b", 6)))
    assert found([belief(3, 31), belief(3, 59), belief(6, 65, pid=2)], writes) == ""
    assert [tenure.token for tenure in tenures(writes)] == [3, 6]


def test_a_waiter_that_goes_on_under_another_session_may_get_another_token():
    renewed = [("t", {"state": "live", "epoch": 1, "seq": 1})]
    writes = stored(*OPEN, *renewed, ("x", held("a")), ("x", held("b", 5)), ("x", held("b", 6, session="t")))
    assert found([belief(4, 41), belief(6, 61, pid=2)], writes) == ""


def test_a_deletion_has_the_name_of_what_was_deleted():
    writes = stored(("x-digest", held("a") | {"name": "Any Name"}), ("x-digest", None))
    assert [write.name for write in log_of(writes)] == ["Any Name", "Any Name"]


@pytest.mark.parametrize(
    ("fault", "events", "writes"),
    [
        ("two believe", [belief(3, 31), belief(3, 45), belief(4, 41, pid=2), belief(4, 49, pid=2)], SOUND),
        ("after the store gave it away", [belief(3, 31), belief(3, 41)], SOUND),
        ("after the store gave it away", [belief(4, 51)], SOUND),
        ("no stored hold", [belief(5, 51)], SOUND),
        ("several processes", [belief(3, 31), belief(3, 33, pid=2)], SOUND),
        ("does not rise", [belief(6, 61), belief(4, 65, pid=2)], SOUND),
        ("is followed by", [], stored(*OPEN, ("x", held("a", 9)), ("x", held("b", 8)))),
        ("is followed by", [], stored(*OPEN, ("x", held("a", 9)), ("x", None), ("x", held("b", 9)))),
        ("is followed by", [], stored(*OPEN, ("x", held("a", 3)), ("x", held("a", 4)))),
        (
            "shows token",
            [],
            stored(*OPEN, ("x", held("a")), ("x", held("a")), ("x", held("a", 4)), ("x", held("b", 4))),
        ),
        ("shows token", [], stored(*OPEN, ("x", held("a", 3)), ("x", None), ("x", held("b", 2)))),
        ("session that was not in use", [], stored(OPEN[0], ("x", held("a")), OPEN[1])),
        ("session that was not in use", [], stored(*OPEN, ("x", held("a", session="u")))),
        ("goes back", [], stored(*OPEN, ("s", {"state": "live", "epoch": 1, "seq": 0}))),
        ("goes back", [], stored(*OPEN, ("s", {"state": "live", "epoch": 0, "seq": 1}))),
        ("lives again", [], stored(*OPEN, ("s", {"state": "ended", "epoch": 1, "seq": 1}), OPEN[1])),
        ("lives again", [], stored(*OPEN, ("s", None), OPEN[1])),
    ],
)
def test_a_fault_is_seen(fault: str, events: list[Event], writes: list[StoredWrite]):
    assert fault in found(events, writes)


class TestARecordRemovedByHand:
    WRITES = stored(*OPEN, ("x", held("a")), ("x", None), ("x", held("b")))
    BELIEFS = [belief(3, 31), belief(3, 47), belief(3, 55), belief(5, 52, pid=2), belief(5, 58, pid=2)]  # noqa: RUF012 - a constant

    def test_is_exempt(self):
        assert found(self.BELIEFS, self.WRITES, {3}) == ""
        assert "two believe" in found(self.BELIEFS, self.WRITES)

    def test_the_next_hold_is_not(self):
        assert "after the store gave it away" in found(
            [*self.BELIEFS, belief(5, 61)], [*self.WRITES, *_deletion()], {3}
        )

    def test_the_overlap_is_measured(self):
        assert overlap_seconds(self.BELIEFS, tenures(self.WRITES), 3) == pytest.approx(15e-9)
        assert overlap_seconds([belief(3, 31)], tenures(self.WRITES), 3) == 0.0


def _deletion() -> list[StoredWrite]:
    return [StoredWrite(6, 0, "lock", "n", "x", None, 60)]
