"""The checker sees each fault that it is there for."""

from __future__ import annotations

from tests.processes.checker import Write, violations
from tests.processes.history import Event


def belief(pid: int, token: int, asked: int, at: int) -> Event:
    return Event(at=at, pid=pid, kind="belief", name="x", token=token, asked=asked)


def stored(version: int, holder: str, token: int | None = None) -> Write:
    spec = {"holder": holder, "session": "s"} | ({} if token is None else {"token": str(token)})
    return Write(version, "lock", "x", spec)


def session(version: int, state: str = "live", epoch: int = 1, seq: int = 1) -> Write:
    return Write(version, "session", "s", {"state": state, "epoch": epoch, "seq": seq})


def found(*events: Event, writes: tuple[Write, ...] = ()) -> str:
    return "\n".join(violations(events, writes))


def test_a_sound_run_passes():
    events = (belief(1, 5, 10, 11), belief(1, 5, 20, 21), belief(2, 8, 30, 31), belief(2, 8, 40, 41))
    writes = (session(3), stored(5, "a"), session(6, seq=2), stored(8, "b", 8), session(9, "ended", seq=2))
    assert found(*events, writes=writes) == ""


def test_a_pause_between_question_and_answer_is_no_fault():
    assert found(belief(1, 5, 10, 11), belief(1, 5, 20, 90), belief(2, 8, 30, 31), belief(2, 8, 40, 41)) == ""


def test_two_beliefs_at_once():
    first, second = (belief(1, 5, 10, 11), belief(1, 5, 30, 31)), (belief(2, 8, 20, 21), belief(2, 8, 40, 41))
    assert "two believe" in found(*first, *second)


def test_a_belief_inside_a_longer_one():
    longer = belief(1, 5, 10, 11), belief(1, 5, 50, 51)
    assert found(*longer, belief(2, 8, 20, 21), belief(3, 9, 30, 31)).count("two believe") == 2


def test_a_token_that_falls():
    assert "does not rise" in found(belief(1, 8, 10, 11), belief(2, 5, 20, 21))


def test_a_token_of_two_processes():
    assert "several processes" in found(belief(1, 5, 10, 11), belief(2, 5, 20, 21))


def test_a_token_granted_twice():
    grant = Event(at=1, pid=1, kind="ok", name="x", what="acquire", token=5)
    assert "granted 2 times" in found(grant, grant)


def test_a_belief_after_being_told():
    told = Event(at=20, pid=1, kind="told", name="x", token=5)
    assert "after it was told" in found(belief(1, 5, 10, 11), told, belief(1, 5, 30, 31))


def test_a_token_that_the_store_never_gave():
    assert "no stored hold" in found(belief(1, 6, 10, 11), writes=(stored(5, "a"),))


def test_a_stored_token_that_falls():
    assert "is followed by" in found(writes=(stored(5, "a", 9), stored(6, "b", 7)))


def test_a_stored_token_with_two_holders():
    assert "is followed by" in found(writes=(stored(5, "a", 5), stored(6, "b", 5)))


def test_a_holder_with_two_stored_tokens():
    assert "is followed by" in found(writes=(stored(5, "a", 5), stored(6, "a", 6)))


def test_a_session_that_goes_back():
    assert "goes back" in found(writes=(session(3, seq=2), session(4, seq=1)))
    assert "goes back" in found(writes=(session(3, epoch=2), session(4, epoch=1, seq=9)))


def test_a_session_that_lives_again():
    assert "lives again" in found(writes=(session(3, "ended"), session(4, seq=2)))


def test_a_deleted_session_that_lives_again():
    deletion = Write(4, "session", "s", None)
    assert "lives again" in found(writes=(session(3), deletion, session(5, seq=2)))
    assert found(writes=(session(3, seq=9), deletion, session(5, "gone", 0, 0), session(6, "ended", 0, 0))) == ""
    assert found(writes=(session(3, "ended", seq=9), deletion, session(5, seq=0))) == ""
