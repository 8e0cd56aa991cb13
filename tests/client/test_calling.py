"""One operation: what is repeated, what is raised, and what is given up."""

from __future__ import annotations

import time

import pytest

from metaparticle_sync import ElectorRefused, ElectorUnavailable, Lock
from metaparticle_sync._answers import Refused
from metaparticle_sync._calling import call_once, call_parked
from metaparticle_sync._clock import now
from metaparticle_sync._waiting import Patience
from tests.client.in_threads import interrupted_when


class Sending:
    """Requests that are answered as was arranged; beyond that with the last arrangement."""

    def __init__(self, *answers):
        self.answers = list(answers)
        self.clients = []
        self.parked = []

    def once(self, client, timeout):
        assert 0 < timeout < 10
        self.clients.append(client)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, BaseException):
            raise answer
        return answer

    def park(self, client, wait_seconds, timeout):
        assert timeout > wait_seconds
        self.parked.append(wait_seconds)
        return self.once(client, min(timeout, 5.0))


@pytest.fixture
def keeper(elector):
    return Lock("x")._keeper


AWAY = ElectorUnavailable("nobody there", address="http://there")


def patience(keeper, seconds=None, unavailable_seconds=0.3):
    return Patience(seconds, unavailable_seconds, keeper.heard_at)


def unknown_client():
    return Refused(409, "unknown_client", "who are you?", "")


def test_the_first_call_opens_the_session(elector, keeper):
    sending = Sending("done")
    assert call_once(keeper, patience(keeper), sending.once) == "done"
    assert sending.clients == [keeper.client]
    assert keeper.client in elector.clients


def test_no_answer_is_repeated(keeper):
    sending = Sending(AWAY, AWAY, "done")
    assert call_once(keeper, patience(keeper), sending.once) == "done"
    assert len(sending.clients) == 3


def test_an_answer_may_be_nothing(keeper):
    sending = Sending(None, "never asked for")
    assert call_once(keeper, patience(keeper), sending.once) is None
    assert len(sending.clients) == 1


def test_an_elector_that_forgot_us_is_told_again(elector, keeper):
    sending = Sending(unknown_client(), unknown_client(), "done")
    assert call_once(keeper, patience(keeper), sending.once) == "done"
    assert len(elector.asked("PUT", "/sessions")) == 3


def test_being_unknown_without_end_has_an_end(elector, keeper, impatient):
    sending = Sending(unknown_client())
    with pytest.raises(ElectorUnavailable, match="unknown_client"):
        call_once(keeper, patience(keeper), sending.once)
    assert len(sending.clients) < 50


def test_a_refusal_is_raised_with_its_code(keeper):
    sending = Sending(Refused(400, "bad_body", "it is bad", ""))
    with pytest.raises(ElectorRefused, match="it is bad") as caught:
        call_once(keeper, patience(keeper), sending.once)
    assert (caught.value.code, caught.value.status) == ("bad_body", 400)


def test_a_refusal_can_be_explained(keeper):
    def explain(refusal):
        return ValueError(refusal.detail) if refusal.code == "limit_mismatch" else None

    sending = Sending(Refused(409, "limit_mismatch", "3 is not 4", ""))
    with pytest.raises(ValueError, match="3 is not 4"):
        call_once(keeper, patience(keeper), sending.once, explain=explain)
    sending = Sending(Refused(409, "not_held", "no", ""))
    with pytest.raises(ElectorRefused):
        call_once(keeper, patience(keeper), sending.once, explain=explain)


def test_nothing_is_given_up_that_was_refused_or_answered(keeper):
    given_up = []

    def give_up(*arguments):
        given_up.append(arguments)

    with pytest.raises(ElectorRefused):
        call_once(keeper, patience(keeper), Sending(Refused(400, "bad_body", "", "")).once, give_up=give_up)
    call_once(keeper, patience(keeper), Sending("done").once, give_up=give_up)
    assert call_parked(keeper, patience(keeper, 0.01), Sending(None).park, give_up=give_up) is None
    assert given_up == []


def test_nothing_is_given_up_that_was_never_sent(elector, keeper, impatient):
    elector.kill()
    with pytest.raises(ElectorUnavailable):
        call_once(keeper, patience(keeper), Sending("never").once, give_up=lambda *_: pytest.fail("given up"))
    elector.start()


def test_what_may_have_arrived_is_given_up(keeper):
    given_up = []
    with pytest.raises(ElectorUnavailable, match="nobody there"):
        call_parked(
            keeper,
            patience(keeper, 0.05),
            Sending(AWAY).park,
            give_up=lambda client, seconds: given_up.append((client, seconds)),
        )
    [(client, seconds)] = given_up
    assert client == keeper.client
    assert 0 < seconds <= 1


def test_an_interrupted_call_is_given_up_in_half_a_second(keeper):
    given_up = []
    with pytest.raises(KeyboardInterrupt):
        call_parked(
            keeper,
            patience(keeper),
            Sending(KeyboardInterrupt()).park,
            give_up=lambda client, seconds: given_up.append((client, seconds)),
        )
    assert given_up == [(keeper.client, 0.5)]


def test_a_pause_can_be_interrupted(keeper):
    sending = Sending(AWAY)
    with pytest.raises(KeyboardInterrupt), interrupted_when(lambda: len(sending.clients) > 2):
        call_once(keeper, patience(keeper, unavailable_seconds=100), sending.once)


def test_a_parked_call_goes_on_until_there_is_an_answer(keeper):
    sending = Sending(None, None, AWAY, None, "there it is")
    assert call_parked(keeper, patience(keeper, 20, 100), sending.park) == "there it is"
    assert all(15 < seconds <= 20 for seconds in sending.parked)


def test_a_parked_call_ends_with_its_time_and_not_before(keeper):
    sending = Sending(None)
    before = time.monotonic()
    assert call_parked(keeper, patience(keeper, 0.1), sending.park) is None
    assert time.monotonic() - before >= 0.1


def test_a_single_look_is_one_request_that_waits_for_nothing(keeper):
    sending = Sending(None)
    assert call_parked(keeper, patience(keeper, 0), sending.park) is None
    assert sending.parked == [0.0]
    sending = Sending(AWAY)
    with pytest.raises(ElectorUnavailable):
        call_parked(keeper, patience(keeper, 0), sending.park)
    assert sending.parked == [0.0]


def test_trouble_after_the_last_answer_is_no_error(keeper):
    """It was known that there was nothing yet, and the time is over."""
    sending = Sending(None, AWAY)
    assert call_parked(keeper, patience(keeper, 0.05, 100), sending.park) is None


def test_an_answer_is_a_word_of_the_elector(keeper):
    answered_at = []

    def send(*_):
        answered_at.append(now())
        return "done"

    call_once(keeper, patience(keeper), send)
    assert keeper.heard_at >= answered_at[0]
