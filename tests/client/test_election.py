"""Leader election: one leads, goes on leading, is told to stop, and never overlaps with the next."""

from __future__ import annotations

import signal
import threading

import pytest

from metaparticle_sync import Election, ElectorUnavailable, Lock, LockLost, NotHeld, set_loss_policy
from tests.client.fake_elector import eventually
from tests.client.faults import hang


@pytest.fixture
def running(elector):
    """Run elections in threads; shut down what is left."""
    started = []

    def run(election):
        outcome = []

        def target():
            try:
                outcome.append(election.run())
            except BaseException as error:  # noqa: BLE001
                outcome.append(error)

        thread = threading.Thread(target=target)
        thread.start()
        started.append((election, thread))
        thread.outcome = outcome
        return thread

    yield run
    for election, thread in started:
        election.shutdown()
        thread.join(10)
        assert not thread.is_alive()


def test_leads_until_shutdown_even_after_the_callback_returned(elector, running):
    elected = []
    election = Election("e", lambda: elected.append(1))
    thread = running(election)
    assert eventually(lambda: elected)
    assert election.is_leader
    assert thread.is_alive()
    election.shutdown()
    thread.join(10)
    assert thread.outcome == [None]
    assert not election.is_leader
    assert elector.locks == {}


def test_without_a_callback(elector, running):
    election = Election("e")
    running(election)
    assert eventually(lambda: election.is_leader)


def test_the_leadership_is_handed_to_a_callback_that_takes_it(elector, running):
    seen = []
    election = Election("e", seen.append)
    running(election)
    assert eventually(lambda: seen)
    [leadership] = seen
    assert leadership.held
    assert leadership.name == election.name == "e"
    assert leadership.token == elector.locks["e"][2]
    assert repr(leadership).startswith("<held metaparticle_sync.Leadership name='e' token=")
    assert not leadership.stopping.is_set()
    election.shutdown()
    assert leadership.stopping.wait(10)


def test_the_callback_is_told_and_awaited_before_the_lock_is_released(elector, running):
    ended = threading.Event()
    trace = []

    def lead(leadership):
        leadership.stopping.wait()
        trace.append((leadership.held, "e" in elector.locks))
        ended.wait(10)
        trace.append((leadership.held, "e" in elector.locks))

    election = Election("e", lead)
    thread = running(election)
    assert eventually(lambda: election.is_leader)
    election.shutdown()
    assert eventually(lambda: trace)
    assert thread.is_alive()
    ended.set()
    thread.join(10)
    assert trace == [(True, True), (True, True)]
    assert elector.locks == {}


def test_one_leads_at_a_time_within_one_process(elector, running):
    first, second = Election("e"), Election("e")
    running(first)
    assert eventually(lambda: first.is_leader)
    running(second)
    assert eventually(lambda: elector.queues.get("e"))
    assert not second.is_leader
    first.shutdown()
    assert eventually(lambda: second.is_leader)
    assert not first.is_leader


def test_shutdown_ends_a_campaign_at_once(elector, running):
    elector.take("e")
    election = Election("e")
    thread = running(election)
    assert eventually(lambda: elector.queues.get("e"))
    election.shutdown()
    thread.join(5)
    assert thread.outcome == [None]
    assert elector.queues["e"] == []


def test_shutdown_ends_a_campaign_even_if_the_elector_hangs(elector, running):
    elector.take("e")
    elector.inject("PUT", "/locks/e", hang)
    elector.inject("DELETE", "/locks/e", hang, times=100)
    election = Election("e")
    thread = running(election)
    assert eventually(lambda: elector.asked("PUT", "/locks/e"))
    election.shutdown()
    thread.join(5)
    assert thread.outcome == [None]


def test_shutdown_ends_a_campaign_without_an_elector(elector, running):
    with_contact = Election("e")
    running(with_contact)
    assert eventually(lambda: with_contact.is_leader)
    elector.kill()
    election = Election("other")
    thread = running(election)
    election.shutdown()
    thread.join(5)
    assert thread.outcome == [None]


def test_shutdown_before_run_ends_the_next_run(elector):
    election = Election("e")
    election.shutdown()
    election.run()
    assert elector.requests == []


def test_run_again_after_shutdown(elector, running):
    election = Election("e")
    for _ in range(2):
        thread = running(election)
        assert eventually(lambda: election.is_leader)
        election.shutdown()
        thread.join(10)


def test_run_twice_at_once(elector, running):
    election = Election("e")
    running(election)
    assert eventually(lambda: election.is_leader)
    with pytest.raises(RuntimeError, match="'e' is running already"):
        election.run()


def test_a_loss_stops_the_callback_then_campaigns_again(elector, running):
    trace, lost = [], threading.Event()

    def lead(leadership):
        trace.append("elected")
        leadership.stopping.wait()
        trace.append("stopped")

    def on_lost():
        lost.wait(10)
        trace.append("lost")

    election = Election("e", lead, on_lost)
    running(election)
    assert eventually(lambda: trace == ["elected"])
    elector.lose("e")
    assert eventually(lambda: trace == ["elected", "stopped"])
    assert not election.is_leader
    lost.set()
    assert eventually(lambda: trace == ["elected", "stopped", "lost", "elected"])
    assert eventually(lambda: election.is_leader)


def test_a_loss_is_told_even_if_the_callback_never_ends(elector, running):
    forever, told = threading.Event(), []
    election = Election("e", forever.wait, told.append)
    running(election)
    assert eventually(lambda: election.is_leader)
    elector.lose("e", "the test wants it")
    assert eventually(lambda: told)
    assert told[0].reason == "the test wants it"
    forever.set()


def test_a_loss_without_on_lost_follows_the_process_s_policy(elector, running):
    told = []
    set_loss_policy(told.append)
    election = Election("e")
    running(election)
    assert eventually(lambda: election.is_leader)
    elector.lose("e")
    assert eventually(lambda: told)
    assert eventually(lambda: election.is_leader)


def test_a_loss_under_the_policy_raise_ends_run(elector, running):
    election = Election("e", None, "raise")
    thread = running(election)
    assert eventually(lambda: election.is_leader)
    elector.lose("e", "the test wants it")
    thread.join(10)
    assert isinstance(thread.outcome[0], LockLost)


def test_a_loss_is_not_told_to_others_who_use_that_name(elector):
    election = Election("e", lambda: elector.lose("e"), lambda: election.shutdown())  # noqa: PLW0108
    election.run()
    with pytest.raises(NotHeld, match="release unlocked lock"):
        Lock("e").release()


def test_leaving_releases_nobody_else_s_hold(elector, monkeypatch):
    """The leadership is lost in the moment of its release, and another thread of this process has the lock by then."""
    election, other = Election("e", lambda: election.shutdown(), print), Lock("e")  # noqa: PLW0108
    holds = election._keeper.holds
    drop = holds.drop

    def lose_in_between(*arguments):
        elector.lose("e")
        assert eventually(lambda: not other.held)
        thread = threading.Thread(target=other.acquire)
        thread.start()
        thread.join(10)
        return drop(*arguments)

    monkeypatch.setattr(holds, "drop", lose_in_between)
    election.run()
    monkeypatch.undo()
    assert other.held
    other.release()


def test_an_error_of_the_callback_releases_and_propagates(elector):
    def lead():
        raise KeyError("of the callback")

    with pytest.raises(KeyError, match="of the callback"):
        Election("e", lead).run()
    assert elector.locks == {}


def test_an_error_of_the_callback_wins_over_a_loss(elector):
    told = []

    def lead(leadership):
        elector.lose("e")
        leadership.stopping.wait()
        raise KeyError("of the callback")

    with pytest.raises(KeyError):
        Election("e", lead, told.append).run()
    assert told


def test_an_error_of_the_callback_wins_over_a_loss_to_be_raised(elector):
    def lead(leadership):
        elector.lose("e")
        leadership.stopping.wait()
        raise KeyError("of the callback")

    with pytest.raises(KeyError):
        Election("e", lead, "raise").run()


def test_what_is_withdrawn_is_not_believed_in_even_if_it_was_granted_just_then(elector, monkeypatch, running):
    """Else this process would believe that it leads while the next one does."""
    election = Election("e")
    holds = election._keeper.holds
    admit = holds.admit

    def shut_down_in_between(*arguments):
        hold = admit(*arguments)
        election.shutdown()
        assert elector.locks == {}
        return hold

    monkeypatch.setattr(holds, "admit", shut_down_in_between)
    beliefs = []
    deliver = holds.deliver
    monkeypatch.setattr(holds, "deliver", lambda *arguments: beliefs.append(deliver(*arguments)) or beliefs[-1])
    election.run()
    assert beliefs == [False]
    assert elector.locks == {}


def test_on_lost_may_shut_down(elector, running):
    election = Election("e", None, lambda: election.shutdown())  # noqa: PLW0108
    thread = running(election)
    assert eventually(lambda: election.is_leader)
    elector.lose("e")
    thread.join(10)
    assert thread.outcome == [None]


def test_the_callback_may_shut_down(elector):
    election = Election("e", lambda: election.shutdown())  # noqa: PLW0108
    election.run()
    assert elector.locks == {}


def test_a_signal_handler_may_shut_down(elector):
    election = Election("e")
    before = signal.signal(signal.SIGTERM, lambda *_: election.shutdown())
    main = threading.main_thread().ident

    def end_it():
        if eventually(lambda: election.is_leader):
            signal.pthread_kill(main, signal.SIGTERM)

    thread = threading.Thread(target=end_it)
    thread.start()
    try:
        election.run()
    finally:
        thread.join()
        signal.signal(signal.SIGTERM, before)
    assert elector.locks == {}


def test_a_signal_handler_may_end_a_campaign(elector):
    elector.take("e")
    election = Election("e")
    before = signal.signal(signal.SIGTERM, lambda *_: election.shutdown())
    main = threading.main_thread().ident

    def end_it():
        if eventually(lambda: elector.queues.get("e")):
            signal.pthread_kill(main, signal.SIGTERM)

    thread = threading.Thread(target=end_it)
    thread.start()
    try:
        election.run()
    finally:
        thread.join()
        signal.signal(signal.SIGTERM, before)
    assert elector.queues["e"] == []


def test_original_spelling(elector, running):
    elected, lost = [], []
    election = Election("e", lambda: elected.append(1), lambda: lost.append(1))
    running(election)
    assert eventually(lambda: elected)
    elector.lose("e")
    assert eventually(lambda: lost)
    named = Election("f", is_master_callback=lambda: elected.append(2), lost_master_callback=lambda: lost.append(2))
    running(named)
    assert eventually(lambda: 2 in elected)


def test_without_an_elector(monkeypatch, impatient):
    election = Election("e", base_uri="http://127.0.0.1:9")
    with pytest.raises(ElectorUnavailable):
        election.run()
    with pytest.raises(ElectorUnavailable):
        election.run()  # It can be tried again.


@pytest.mark.parametrize(
    "arguments",
    [
        {"on_elected": 1},
        {"on_elected": lambda one, two: None},
        {"on_elected": print, "is_master_callback": print},
        {"on_lost": print, "lost_master_callback": print},
        {"on_lost": 1},
    ],
)
def test_settings_of_a_wrong_type(arguments):
    with pytest.raises(TypeError):
        Election("e", **arguments)


def test_repr(elector, running):
    election = Election("e")
    assert repr(election).startswith("<idle metaparticle_sync.Election name='e' at 0x")
    running(election)
    assert eventually(lambda: election.is_leader)
    assert repr(election).startswith("<leading ")
