"""Pickled, copied, held by something else: it is the same primitive, and nothing of it stays behind."""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import functools
import gc
import pickle
import threading
import weakref
from typing import Any

import cloudpickle
import pytest

from tests.passing.kinds import MAKERS, check
from tests.passing.ways import FromThread

COPIES = {
    "pickle": lambda primitive: pickle.loads(pickle.dumps(primitive)),
    **{
        f"pickle protocol {protocol}": lambda primitive, protocol=protocol: pickle.loads(
            pickle.dumps(primitive, protocol)
        )
        for protocol in range(pickle.HIGHEST_PROTOCOL + 1)
    },
    "cloudpickle": lambda primitive: cloudpickle.loads(cloudpickle.dumps(primitive)),
    "cloudpickle of a closure": lambda primitive: cloudpickle.loads(cloudpickle.dumps(lambda: primitive))(),
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
    "deepcopy of a structure": lambda primitive: copy.deepcopy({"a": [primitive]})["a"][0],
}


def check_both(kind: str, one: Any, other: Any) -> None:
    """See that both objects are the same primitive, whichever begins."""
    check(kind, one, lambda function, _: FromThread(function, other))
    check(kind, other, lambda function, _: FromThread(function, one))


@pytest.mark.parametrize("how", COPIES)
@pytest.mark.parametrize("name", [None, "a name"])
def test_a_copy_is_the_same_primitive(elector, kind: str, how: str, name: str | None):
    primitive = MAKERS[kind](name)
    copied = COPIES[how](primitive)
    assert copied is not primitive
    assert type(copied) is type(primitive)
    assert copied.name == primitive.name
    check_both(kind, primitive, copied)


def test_a_structure_with_the_same_one_twice_has_it_twice_after_a_deep_copy(elector, kind: str):
    primitive = MAKERS[kind](None)
    one, two = copy.deepcopy([primitive, primitive])
    assert one is two
    assert one is not primitive


@pytest.mark.parametrize("how", ["pickle", "cloudpickle", "deepcopy"])
def test_a_copy_of_what_is_held_holds_nothing_of_its_own(elector, how: str):
    for kind in ("Lock", "RLock", "Semaphore", "BoundedSemaphore"):
        primitive = MAKERS[kind](None)
        with primitive:
            state = COPIES[how](primitive)
            del state
            gc.collect()
            assert primitive.held


def test_two_of_the_same_kind_without_names_are_two(elector, kind: str):
    one, two = MAKERS[kind](None), MAKERS[kind](None)
    assert one.name != two.name
    assert pickle.loads(pickle.dumps(one)).name != two.name


@dataclasses.dataclass
class Job:
    """Something of a program's own that has a primitive."""

    primitive: Any
    title: str = "a job"


@dataclasses.dataclass(frozen=True)
class FrozenJob:
    primitive: Any


def test_a_field_of_a_dataclass(elector, kind: str):
    @dataclasses.dataclass
    class WithDefault:
        primitive: Any = dataclasses.field(default_factory=lambda: MAKERS[kind](None))

    job = Job(MAKERS[kind](None))
    check_both(kind, job.primitive, dataclasses.replace(job, title="another").primitive)
    check_both(kind, job.primitive, dataclasses.asdict(job)["primitive"])
    check_both(kind, job.primitive, pickle.loads(pickle.dumps(job)).primitive)
    check_both(kind, job.primitive, copy.deepcopy(job).primitive)
    assert dataclasses.replace(job) == job
    assert len({FrozenJob(job.primitive), FrozenJob(job.primitive)}) == 1
    assert WithDefault().primitive.name != WithDefault().primitive.name


METHODS = {
    "Lock": "acquire",
    "RLock": "acquire",
    "Semaphore": "acquire",
    "BoundedSemaphore": "acquire",
    "Event": "set",
    "Condition": "acquire",
    "Barrier": "reset",
}


def test_a_partial_and_a_bound_method_travel(elector, kind: str):
    primitive = MAKERS[kind](None)
    for passed in (pickle.loads(pickle.dumps(getattr(primitive, METHODS[kind]))), getattr(primitive, METHODS[kind])):
        assert passed.__self__.name == primitive.name
    passed = cloudpickle.loads(cloudpickle.dumps(functools.partial(check, kind, primitive)))
    passed(lambda function, _: FromThread(function, primitive))
    functools.partial(check, kind)(primitive, FromThread)


def test_an_exit_stack_enters_and_leaves_them(elector):
    made = {kind: MAKERS[kind](None) for kind in ("Lock", "RLock", "Semaphore", "BoundedSemaphore", "Condition")}
    with contextlib.ExitStack() as stack:
        for primitive in made.values():
            assert stack.enter_context(primitive) is True
        for kind in ("Lock", "RLock", "Semaphore", "BoundedSemaphore"):
            assert made[kind].held
        kept = stack.pop_all()
    assert made["Lock"].held
    with pytest.raises(KeyError), kept:
        raise KeyError
    for kind in ("Lock", "RLock", "Semaphore", "BoundedSemaphore"):
        assert not made[kind].held
    with pytest.raises(RuntimeError, match="un-acquired"):
        made["Condition"].notify()


def test_a_callback_of_an_exit_stack(elector):
    event, barrier = MAKERS["Event"](None), MAKERS["Barrier"](None)
    with contextlib.ExitStack() as stack:
        stack.callback(event.set)
        stack.callback(barrier.abort)
        assert not event.is_set()
    assert event.is_set()
    assert barrier.broken


def test_weak_collections_let_go(elector, kind: str):
    primitive = MAKERS[kind](None)
    ended: list[str] = []
    keys = weakref.WeakKeyDictionary({primitive: "a value"})
    values = weakref.WeakValueDictionary({"a key": primitive})
    members = weakref.WeakSet([primitive])
    reference = weakref.ref(primitive, lambda _: ended.append("told"))
    weakref.finalize(primitive, ended.append, "finalized")
    assert keys[primitive] == "a value"
    assert primitive in members
    assert copy.copy(primitive) not in members
    assert reference() is primitive

    check(kind, primitive, FromThread)
    gc.collect()
    assert (len(keys), len(values), len(members)) == (1, 1, 1)
    del primitive
    gc.collect()
    assert reference() is None
    assert (len(keys), len(values), len(members)) == (0, 0, 0)
    assert sorted(ended) == ["finalized", "told"]


def test_equality_is_identity_as_with_the_originals(elector, kind: str):
    one = MAKERS[kind]("a name")
    assert one == one
    assert one != MAKERS[kind]("a name")
    assert hash(one) == hash(one)
    assert bool(one)


def test_a_held_lock_outlives_its_last_object_until_it_is_released_by_another(elector):
    name = "outlives its object"
    MAKERS["Lock"](name).acquire()
    gc.collect()
    again = MAKERS["Lock"](name)
    assert again.held
    threads = [threading.Thread(target=again.release)]
    threads[0].start()
    threads[0].join()
    assert not again.locked()
