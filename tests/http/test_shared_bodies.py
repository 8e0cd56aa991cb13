"""Bodies of `/semaphores`, `/events`, `/conditions` and `/barriers` that are refused, each with what would be right."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from elector_server.barriers import Arrival
from elector_server.events import EventSeen
from elector_server.rules.barrier import Barrier, Outcome, Place
from elector_server.semaphores import PermitsReleased
from metaparticle_sync import wire
from tests.http.asking import app_of, ask
from tests.http.fake_elector import CLIENT, HOLDER, FakeElector

OPERATION = "e" * 32
PLACE = {"generation": 7, "index": 1}

CALLS: dict[tuple[str, str], dict[str, Any]] = {
    ("PUT", "/semaphores/x"): {"client": CLIENT, "holder": HOLDER, "limit": 3, "bounded": True, "wait_seconds": 1},
    ("POST", "/semaphores/x"): {
        "client": CLIENT,
        "operation": OPERATION,
        "limit": 3,
        "bounded": True,
        "permits": 2,
        "holders": [HOLDER],
        "incarnation": "61b0192cf830.1",
        "operations": 7,
    },
    ("DELETE", "/semaphores/x"): {"client": CLIENT, "holder": HOLDER},
    ("PUT", "/events/x"): {"client": CLIENT, "operation": OPERATION, "is_set": True},
    ("POST", "/events/x"): {"client": CLIENT, "generation": 3, "wait_seconds": 1},
    ("PUT", "/conditions/x"): {"client": CLIENT, "holder": HOLDER, "enqueued": True, "wait_seconds": 1},
    ("POST", "/conditions/x"): {"client": CLIENT, "operation": OPERATION, "waiters": 1},
    ("DELETE", "/conditions/x"): {"client": CLIENT, "holder": HOLDER, "pass_on": True},
    ("PUT", "/barriers/x"): {
        "client": CLIENT,
        "holder": HOLDER,
        "parties": 3,
        "acts": False,
        "arrived": PLACE,
        "wait_seconds": 1,
    },
    ("POST", "/barriers/x"): {
        "client": CLIENT,
        "operation": OPERATION,
        "parties": 3,
        "transition": "open",
        "holder": HOLDER,
    },
    ("DELETE", "/barriers/x"): {"client": CLIENT, "holder": HOLDER, "arrived": PLACE},
}
"""Each call with a body that has all its fields."""

OPTIONAL = {"wait_seconds", "generation", "waiters", "holders", "incarnation", "operations", "pass_on", "arrived"}
"""Fields that may be left out. (So may the holder of a transition: that one has a test of its own.)"""

WRONG: dict[str, list[tuple[Any, str]]] = {
    "client": [(None, "32 lower-case"), (5, "32 lower-case"), ("C" * 32, "32 lower-case"), ("c" * 33, "32 lower-case")],
    "holder": [("", "32 lower-case"), ([], "32 lower-case"), ("d" * 31, "32 lower-case")],
    "operation": [(None, "32 lower-case"), ("x" * 32, "32 lower-case"), ({}, "32 lower-case")],
    "limit": [(None, "from 0 to 2147483647"), (-1, "from 0"), (2**31, "2147483647"), (1.0, "whole"), (True, "whole")],
    "bounded": [(None, "true or false"), (1, "true or false"), ("true", "true or false")],
    "permits": [(None, "from 1 to 1000"), (0, "from 1 to 1000"), (1001, "from 1 to 1000"), ("1", "whole number")],
    "holders": [(None, "a list"), ("x", "a list"), ([5], "holders[0]"), ([HOLDER] * 3, "only 2 are to be released")],
    "incarnation": [(None, "a text of 1 to 64"), (5, "a text"), ("", "a text of 1 to 64"), ("x" * 65, "1 to 64")],
    "operations": [(-1, "from 0 to 9007199254740991"), (2**53, "from 0"), (1.5, "whole number"), ("1", "whole number")],
    "is_set": [(None, "true or false"), (0, "true or false"), ("false", "true or false")],
    "generation": [(-1, "from 0 to 9007199254740991"), (2**53, "from 0"), (1.5, "whole number"), ("1", "whole number")],
    "wait_seconds": [(None, "from 0 to 25"), (-1, "from 0 to 25"), (25.1, "from 0 to 25"), ("1", "from 0 to 25")],
    "enqueued": [(None, "true or false"), (1, "true or false")],
    "waiters": [(0, "from 1 to 2147483647"), (-1, "from 1"), (2**31, "2147483647"), (1.5, "whole"), (True, "whole")],
    "pass_on": [(None, "true or false"), (1, "true or false")],
    "parties": [(None, "from 1 to 1000"), (0, "from 1"), (1001, "1000"), (2.0, "whole"), (True, "whole")],
    "acts": [(None, "true or false"), ("no", "true or false")],
    "arrived": [
        (7, "an object with generation, index"),
        ([7, 1], "an object with generation, index"),
        ({"generation": 7}, "field index of arrived is missing"),
        (PLACE | {"party": 1}, '"party"; possible: generation, index'),
        (PLACE | {"index": -1}, "field index is -1"),
        (PLACE | {"generation": None}, "field generation is null"),
    ],
    "transition": [(None, '"open" or "abort" or "reset"'), ("close", '"open" or "abort"'), ([], '"open" or "abort"')],
}

REQUIRED = [(call, field) for call, body in CALLS.items() for field in body if field not in OPTIONAL]
MISTYPED = [
    (call, field, value, said) for call, body in CALLS.items() for field in body for value, said in WRONG[field]
]


def _refused(call: tuple[str, str], body: Any) -> str:
    elector = FakeElector()
    answer = ask(app_of(elector), *call, body if isinstance(body, bytes) else json.dumps(body).encode())
    assert (answer.status, answer.code) == (400, "bad_body")
    assert elector.calls == []
    return answer.detail


@pytest.mark.parametrize("call", CALLS, ids=" ".join)
@pytest.mark.parametrize(
    ("body", "said"),
    [
        pytest.param(b"", "no JSON", id="empty"),
        pytest.param(b"{", "no JSON", id="half an object"),
        pytest.param([], "a list", id="a list"),
        pytest.param(None, "null", id="null"),
        pytest.param({}, "field client is missing", id="no field"),
        pytest.param(b'{"client": "a", "client": "b"}', '"client" stands twice', id="a field twice"),
    ],
)
def test_what_no_call_takes(call: tuple[str, str], body: Any, said: str) -> None:
    assert said in _refused(call, body)


@pytest.mark.parametrize("call", CALLS, ids=" ".join)
def test_unknown_fields_are_named_with_the_known_ones(call: tuple[str, str]) -> None:
    said = _refused(call, CALLS[call] | {"timeout": 5})
    assert f'"timeout"; possible: {", ".join(sorted(CALLS[call]))}' in said


@pytest.mark.parametrize(
    ("call", "field"), REQUIRED, ids=lambda part: part if isinstance(part, str) else " ".join(part)
)
def test_missing_fields(call: tuple[str, str], field: str) -> None:
    body = {key: value for key, value in CALLS[call].items() if key != field}
    assert f"field {field} is missing" in _refused(call, body)


@pytest.mark.parametrize(("call", "field", "value", "said"), MISTYPED, ids=str)
def test_mistyped_fields(call: tuple[str, str], field: str, value: Any, said: str) -> None:
    assert said in _refused(call, CALLS[call] | {field: value})


@pytest.mark.parametrize("call", CALLS, ids=" ".join)
def test_another_media_type(call: tuple[str, str]) -> None:
    elector = FakeElector()
    headers = [("host", "localhost"), ("content-type", "text/plain")]
    answer = ask(app_of(elector), *call, json.dumps(CALLS[call]).encode(), headers=headers)
    assert (answer.status, answer.code, elector.calls) == (415, "unsupported_media_type", [])


def _answering() -> FakeElector:
    """Whatever is understood has an answer."""
    return FakeElector(
        semaphores_acquire=None,
        semaphores_release=PermitsReleased("x", 1, 1),
        semaphores_give_up=True,
        events_put=EventSeen("x", is_set=True, generation=1),
        events_wait=EventSeen("x", is_set=True, generation=1),
        conditions_enqueue=None,
        conditions_wait=True,
        conditions_notify=1,
        conditions_withdraw="withdrawn",
        barriers_arrive=Arrival("x", HOLDER, Outcome.PASSED, Place(0, 1)),
        barriers_change=Barrier(3),
        barriers_leave=(Outcome.BROKEN, None),
    )


@pytest.mark.parametrize("call", CALLS, ids=" ".join)
def test_what_may_be_left_out(call: tuple[str, str]) -> None:
    for body in (CALLS[call], {key: value for key, value in CALLS[call].items() if key not in OPTIONAL}):
        assert ask(app_of(_answering()), *call, json.dumps(body).encode()).status in {200, 202, 204}


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.just(HOLDER),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(sorted(PLACE)), inner, max_size=3),
    max_leaves=4,
)


@settings(deadline=None)  # The machine may be busy.
@given(st.data())
def test_no_json_at_all_breaks_the_elector(data: st.DataObject) -> None:
    call = data.draw(st.sampled_from(sorted(CALLS)))
    fields = data.draw(st.dictionaries(st.sampled_from(sorted(WRONG)), JSON, max_size=2))
    answer = ask(app_of(_answering()), *call, json.dumps(CALLS[call] | fields).encode())
    assert answer.status in {200, 202, 204} or (answer.status, answer.code) == (400, "bad_body")


NAMES = [
    "a/b",
    "..",
    ".",
    "../openapi.json",
    "/",
    "a/",
    "%2F",
    "nul\0",
    "line\nbreak",
    "😀",
    "UPPER",
    " ",
    "a?b",
    "x" * 512,
]


@pytest.mark.parametrize("name", NAMES, ids=ascii)
@pytest.mark.parametrize("call", CALLS, ids=" ".join)
def test_any_legal_name_reaches_the_elector_unchanged(call: tuple[str, str], name: str) -> None:
    method, target = call
    elector = _answering()
    path = wire.path_of(target.removesuffix("/x"), name)
    assert ask(app_of(elector), method, path, json.dumps(CALLS[call]).encode()).status in {200, 202, 204}
    assert [asked[1] for asked in elector.calls] == [name]


COLLECTIONS = (wire.SEMAPHORES_PATH, wire.EVENTS_PATH, wire.CONDITIONS_PATH, wire.BARRIERS_PATH)


@pytest.mark.parametrize("collection", COLLECTIONS)
@pytest.mark.parametrize("name", NAMES, ids=ascii)
def test_a_name_that_nobody_has_used(collection: str, name: str) -> None:
    kind = collection.strip("/").removesuffix("s")
    elector = FakeElector(**{f"{kind}s_read": None})
    answer = ask(app_of(elector), "GET", wire.path_of(collection, name))
    assert (answer.status, answer.code) == (404, f"{kind}_unused")
    assert repr(name) in answer.detail
    assert elector.calls == [(f"{kind}s_read", name)]


@pytest.mark.parametrize("call", [*CALLS, *(("GET", f"{collection}/x") for collection in COLLECTIONS)], ids=" ".join)
@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("", "bad_name"),
        ("x" * 513, "bad_name"),
        ("%FF", "bad_name"),
        ("%ED%A0%80", "bad_name"),
        ("50%", "bad_name"),
        ("a?b", "bad_path"),
    ],
)
def test_illegal_names_change_nothing(call: tuple[str, str], name: str, code: str) -> None:
    method, target = call
    elector = _answering()
    answer = ask(app_of(elector), method, target.removesuffix("x") + name, json.dumps(CALLS.get(call)).encode())
    assert (answer.status, answer.code) == (400, code)
    assert elector.calls == []


@pytest.mark.parametrize("target", [*COLLECTIONS, *(f"{collection}/x" for collection in COLLECTIONS)])
def test_options_says_what_is_possible(target: str) -> None:
    elector = FakeElector()
    answer = ask(app_of(elector), "OPTIONS", target)
    assert answer.status == 200
    possible = {method for method, path in CALLS if path == target} | {"GET"}
    assert set(answer.headers["allow"].split(", ")) - {"OPTIONS"} == possible
    assert elector.calls == []
