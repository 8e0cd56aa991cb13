"""Conditional looks at a lock: entity tags, `If-None-Match`, `Prefer: wait`."""

from __future__ import annotations

from dataclasses import replace

import pytest

from elector_server.problems import ElectorStopping, StoreDown
from elector_server.resources.entity_tags import wait_preference
from metaparticle_sync import wire
from tests.http.asking import Answer, app_of, ask
from tests.http.fake_elector import HOLDER, FakeElector, view

FREE = 'W/"free"'


def look(elector: FakeElector, **headers: str) -> Answer:
    sent = [("host", "localhost"), *((name.replace("_", "-"), value) for name, value in headers.items())]
    return ask(app_of(elector), "GET", "/locks/orders", headers=sent)


def tag_of(shown) -> str:
    return look(FakeElector(read_lock=shown)).headers["etag"]


# The tag --------------------------------------------------------------------------------------------------------------


def test_a_free_lock_has_a_tag_too():
    assert tag_of(None) == FREE


def test_the_tag_stays_while_the_same_one_holds():
    queued = replace(view().lock, queue=(view().lock.claimant,))
    assert tag_of(view()) == tag_of(view(version=125)) == tag_of(view(local_waiters=9)) == tag_of(view(lock=queued))


def test_the_tag_is_another_one_for_whatever_a_look_shows_of_the_holder():
    lock = view().lock
    claimant = lock.claimant
    others = [
        replace(lock, claimant=replace(claimant, hold=replace(claimant.hold, holder="e" * 32))),
        replace(lock, claimant=replace(claimant, owner="host:2")),
        replace(lock, claimant=replace(claimant, process="host:8 python")),
        replace(lock, claimant=replace(claimant, metadata='{"a":1}')),
        replace(lock, acquired_at="2025-01-31T12:00:00.001Z"),
        replace(lock, token=124),
    ]
    assert len({FREE, tag_of(view()), *(tag_of(view(lock=other)) for other in others)}) == 2 + len(others)


def test_the_tag_tells_no_secret():
    assert HOLDER[:8] not in tag_of(view())
    assert tag_of(view()).startswith('W/"')


# Conditions -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shown", [view(), None], ids=["held", "free"])
def test_what_the_caller_knows_is_not_sent_again(shown):
    tag = tag_of(shown)
    for known in (tag, tag.removeprefix("W/"), f'"other", {tag}', f'W/"a,b" ,{tag},"c"'):
        answer = look(FakeElector(read_lock=shown), if_none_match=known)
        assert (answer.status, answer.body, answer.headers["etag"]) == (304, b"", tag)
        assert "content-type" not in answer.headers


@pytest.mark.parametrize("known", ['"other"', "", "nonsense", '"fre', "W/"])
def test_what_the_caller_does_not_know_is_sent(known):
    assert look(FakeElector(read_lock=view()), if_none_match=known).json["kind"] == "Lock"
    assert look(FakeElector(read_lock=None), if_none_match=known).code == "lock_free"


def test_a_star_stands_for_whoever_holds():
    assert look(FakeElector(read_lock=view()), if_none_match="*").status == 304
    assert look(FakeElector(read_lock=None), if_none_match="*").status == 404


@pytest.mark.parametrize("shown", [view(), None], ids=["held", "free"])
def test_with_a_preference_it_waits_for_news(shown):
    elector = FakeElector(look=[view(), None, shown])
    answer = look(elector, if_none_match=tag_of(view()), prefer="wait=7")
    assert elector.calls == [("look", "orders", 7.0)]
    assert (answer.status, answer.headers["etag"]) == (404, FREE)
    answer = look(FakeElector(look=[shown, shown]), if_none_match=tag_of(shown), prefer="wait=7")
    assert (answer.status, answer.headers["etag"]) == (304, tag_of(shown))


@pytest.mark.parametrize("headers", [{}, {"if_none_match": FREE}, {"prefer": "wait=7"}], ids=repr)
def test_only_with_both_it_waits(headers):
    elector = FakeElector(read_lock=view())
    assert look(elector, **headers).status == 200
    assert elector.calls == [("read_lock", "orders")]


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("wait=10", 10),
        ("WAIT = 3", 3),
        ('wait="4"', 4),
        ("respond-async, wait=5", 5),
        ("handling=lenient; wait=6", 0),
        ("wait=7;foo=bar, wait=8", 7),
        ("wait=26", wire.WAIT_SECONDS_MAX),
        ("wait=999999999", wire.WAIT_SECONDS_MAX),
        ("wait=0", 0),
        ("wait=-1", 0),
        ("wait=1.5", 0),
        ("wait", 0),
        ("await=3", 0),
        ("", 0),
        (None, 0),
    ],
)
def test_preferences(header, seconds):
    assert wait_preference(header) == seconds


@pytest.mark.parametrize("problem", [ElectorStopping(), StoreDown("it is locked")], ids=repr)
def test_a_wait_that_says_not_now(problem):
    answer = look(FakeElector(look=problem), if_none_match=FREE, prefer="wait=1")
    assert (answer.status, answer.code) == (503, problem.code)
