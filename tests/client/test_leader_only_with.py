"""`with leader_only(...)`: one object for many threads, and whoever leads already shares the office."""

from __future__ import annotations

import os
import threading

import pytest

from metaparticle_sync import Leadership, NotHeld, current_leadership, leader_only


def test_with(elector):
    with leader_only("e") as leadership:
        assert isinstance(leadership, Leadership)
        assert leadership.held
        assert leadership.token == elector.locks["e"][2]
        assert current_leadership() is leadership
    assert not leadership.held
    assert leadership.stopping.is_set()
    assert elector.locks == {}
    with pytest.raises(NotHeld, match="no leader_only is around"):
        current_leadership()


def test_one_object_for_several_threads_and_again(elector):
    only = leader_only("e")
    tokens = []

    def enter():
        with only as leadership:
            tokens.append(leadership.token)
            assert leadership.held

    threads = [threading.Thread(target=enter) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    enter()
    assert len(set(tokens)) == 5
    assert elector.locks == {}


def test_one_object_for_a_leader_and_for_another_thread_that_skips(elector):
    only = leader_only("e", mode="skip")
    inside, goes_on = threading.Event(), threading.Event()

    def skip():
        with only as leadership:
            assert leadership is None
            inside.set()
            goes_on.wait(10)

    thread = threading.Thread(target=skip)
    with only as leadership:
        assert leadership.held
        thread.start()
        assert inside.wait(10)
    assert elector.locks == {}
    goes_on.set()
    thread.join(10)


def test_entered_in_one_thread_and_left_in_another(elector):
    only = leader_only("e")
    thread = threading.Thread(target=only.__enter__)
    thread.start()
    thread.join(10)
    assert "e" in elector.locks
    only.__exit__(None, None, None)
    assert elector.locks == {}


# Entering again -------------------------------------------------------------------------------------------------------


def test_a_function_that_calls_itself_leads_already(elector):
    @leader_only("e")
    def body(depth):
        tokens.append(current_leadership().token)
        assert "e" in elector.locks
        if depth:
            body(depth - 1)
            assert "e" in elector.locks

    tokens = []
    body(2)
    assert len(tokens) == 3
    assert len(set(tokens)) == 1
    assert len(elector.asked("PUT", "/locks/e")) == 1
    assert elector.locks == {}


def test_skip_within_the_same_office_runs(elector):
    with leader_only("e"):
        assert leader_only("e", mode="skip", otherwise=1)(lambda: 2)() == 2


def test_two_offices_at_once(elector):
    with leader_only("a") as outer:
        with leader_only("b") as inner:
            assert current_leadership() is inner
            with leader_only("a") as again:
                assert again is outer is current_leadership()
            assert current_leadership() is inner
        assert current_leadership() is outer
        assert list(elector.locks) == ["a"]


def test_another_thread_is_another_candidate(elector):
    with leader_only("e"):
        found = []
        thread = threading.Thread(target=lambda: found.append(leader_only("e", mode="skip", otherwise=1)(lambda: 2)()))
        thread.start()
        thread.join(10)
        assert found == [1]


def test_a_forked_child_that_leaves_the_body_releases_nothing(elector):
    with leader_only("e") as leadership:
        only = leader_only("e")
        with only:
            child = os.fork()
            if child == 0:
                try:
                    only.__exit__(None, None, None)
                finally:
                    os._exit(0)
            assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert leadership.held
        assert elector.asked("DELETE", "/") == []


def test_a_forked_child_does_not_lead(elector):
    with leader_only("e") as leadership:
        child = os.fork()
        if child == 0:
            code = 10
            try:
                code = leader_only("e", mode="skip", otherwise=3)(lambda: 4)() + leadership.held
            finally:
                os._exit(code)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 3
        assert leadership.held
