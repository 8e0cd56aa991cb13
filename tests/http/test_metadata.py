"""What a holder says about itself: on its way in, and as a look shows it."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from tests.http.asking import Answer, app_of, ask
from tests.http.fake_elector import CLIENT, HOLDER, FakeElector, granted, view


def acquire(metadata: str) -> tuple[FakeElector, Answer]:
    elector = FakeElector(acquire=granted())
    body = f'{{"client":"{CLIENT}","holder":"{HOLDER}","metadata":{metadata}}}'
    return elector, ask(app_of(elector), "PUT", "/locks/orders", body.encode())


@pytest.mark.parametrize(
    ("sent", "stored"),
    [
        ('{"url": "http://x/",  "n": [1, null, true]}', ('{"url":"http://x/","n":[1,null,true]}',)),
        ('{"a": "\\u00f6\\u0000"}', ('{"a":"ö\\u0000"}',)),
        (json.dumps({"a": "x" * 4088}), (json.dumps({"a": "x" * 4088}, separators=(",", ":")),)),
        (json.dumps({"a": "ö" * 4088}), (json.dumps({"a": "ö" * 4088}, ensure_ascii=False, separators=(",", ":")),)),
        ("{}", ()),
        ("null", ()),
    ],
    ids=lambda value: str(value)[:20],
)
def test_metadata_reach_the_elector_as_compact_text(sent, stored):
    elector, answer = acquire(sent)
    assert answer.status == 200
    assert elector.calls == [("acquire", "orders", CLIENT, HOLDER, 0.0, *stored)]


@pytest.mark.parametrize(
    "sent",
    [
        "[]",
        '""',
        "0",
        "false",
        "[1]",
        '"text"',
        "1",
        "true",
        json.dumps({"a": "x" * 4089}),
        '{"a": "\\ud800"}',
        '{"\\ud800": 1}',
        '{"a": 1e999}',
        '{"a": NaN}',
        '{"a": 1, "a": 2}',
        '{"a":' + "[" * 5000 + "]" * 5000 + "}",
    ],
    ids=lambda value: str(value)[:20],
)
def test_metadata_that_can_not_be_stored(sent):
    elector, answer = acquire(sent)
    assert (answer.status, answer.code) == (400, "bad_body")
    assert elector.calls == []


def shown_metadata(text: str) -> object:
    lock = view().lock
    lock = replace(lock, claimant=replace(lock.claimant, metadata=text))
    return ask(app_of(FakeElector(read_lock=view(lock=lock))), "GET", "/locks/orders").json["spec"].get("metadata")


def test_a_look_shows_them_as_an_object():
    assert shown_metadata('{"url":"http://x/","n":[1,null,"ö"]}') == {"url": "http://x/", "n": [1, None, "ö"]}
    assert shown_metadata("") is None


@pytest.mark.parametrize("text", ["no JSON", "[1]", "1", '{"a":"\\ud800"}', '{"a":NaN}', '{"a":1e999}', "[" * 9999])
def test_a_look_at_what_somebody_wrote_by_hand(text):
    assert shown_metadata(text) is None
