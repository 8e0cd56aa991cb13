"""What a loss does, by policy."""

from __future__ import annotations

import pickle
import subprocess
import sys
import textwrap
import threading

import pytest

import metaparticle_sync
from metaparticle_sync import Lock, LockLost, set_loss_policy
from metaparticle_sync._loss import takes_nothing
from tests.client.fake_elector import eventually


def run_holder(elector, program):
    """A process that holds `x`; when it holds `ready`, too, the lock is lost. Its exit code, stdout and stderr."""
    lines = [
        "from metaparticle_sync import Lock, set_loss_policy",
        "import signal, sys, time",
        textwrap.dedent(program),
        "Lock('ready').acquire()",
        "time.sleep(60)",
    ]
    process = subprocess.Popen(
        [sys.executable, "-c", "\n".join(lines)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={"METAPARTICLE_SYNC_URL": elector.url, "PYTHONPATH": ":".join(sys.path)},
    )
    try:
        assert eventually(lambda: "ready" in elector.locks)
        elector.lose("x", "the test wants it")
        out, err = process.communicate(timeout=30)
    finally:
        process.kill()
        process.wait()
    return process.returncode, out, err


def test_default_ends_the_process_with_one_line(elector):
    program = """
        Lock("x").acquire()
        print("not lost in the buffer", end="")
    """
    code, out, err = run_holder(elector, program)
    assert code == 70
    assert out == "not lost in the buffer"
    assert err.count("\n") == 1
    assert "lost the lock 'x' (token 101): the test wants it" in err
    assert "exit code 70" in err


def test_default_works_even_if_user_code_blocks_with_stderr_full(elector):
    program = """
        import threading
        Lock("x").acquire()
        threading.Thread(target=lambda: Lock("ready").acquire()).start()
        sys.stderr.write("x" * 10_000_000)  # The pipe is read only later.
    """
    code, _, _ = run_holder(elector, program)
    assert code == 70


def test_signal_lets_the_program_clean_up(elector):
    program = """
        def clean_up(*_):
            print("cleaned up")
            sys.exit(3)
        signal.signal(signal.SIGTERM, clean_up)
        Lock("x", on_lost="signal").acquire()
    """
    code, out, err = run_holder(elector, program)
    assert (code, out) == (3, "cleaned up\n")
    assert "lost the lock 'x'" in err
    assert "SIGTERM" in err


def test_signal_without_a_handler_ends_the_process(elector):
    program = """
        set_loss_policy("signal")
        Lock("x").acquire()
    """
    assert run_holder(elector, program)[0] == -15


def test_raise_tells_at_the_next_check(elector):
    lock = Lock("x", on_lost="raise")
    lock.acquire()
    elector.lose("x", "the test wants it")
    assert eventually(lambda: not lock.held)
    with pytest.raises(LockLost) as caught:
        _ = lock.token
    assert (caught.value.name, caught.value.token, caught.value.reason) == ("x", 101, "the test wants it")
    with pytest.raises(LockLost):
        lock.release()


def test_policy_of_the_process_and_of_the_lock(elector):
    told, own = [], []
    set_loss_policy(told.append)
    plain, special = Lock("x"), Lock("y", on_lost=own.append)
    plain.acquire()
    special.acquire()
    elector.lose("x")
    elector.lose("y")
    assert eventually(lambda: told and own)
    assert [loss.name for loss in told] == ["x"]
    assert [loss.name for loss in own] == ["y"]


def test_the_policy_of_the_object_that_acquired_counts(elector):
    told = []
    Lock("x", on_lost=lambda: told.append("first"))
    second = Lock("x", on_lost=lambda: told.append("second"))
    second.acquire()
    elector.lose("x")
    assert eventually(lambda: told == ["second"])


def test_the_callback_has_a_thread_of_its_own(elector):
    threads = []
    lock = Lock("x", on_lost=lambda: threads.append(threading.current_thread()))
    lock.acquire()
    elector.lose("x")
    assert eventually(lambda: threads)
    assert threads[0].daemon
    assert threads[0] is not threading.main_thread()
    assert "keeper" not in threads[0].name


def test_a_callback_that_blocks_holds_nobody_up(elector):
    block = threading.Event()
    lock, told = Lock("x", on_lost=block.wait), []
    other = Lock("y", on_lost=lambda: told.append(1))
    lock.acquire()
    other.acquire()
    elector.lose("x")
    elector.lose("y")
    assert eventually(lambda: told)
    block.set()


@pytest.mark.parametrize(
    ("callback", "arguments"),
    [
        (lambda: "none", 0),
        (lambda loss: "one", 1),
        (lambda loss=None: "none if possible", 0),
        (lambda *losses: "any", 0),
    ],
)
def test_callbacks_get_what_they_take(callback, arguments):
    assert takes_nothing(callback, "on_lost") is (arguments == 0)


@pytest.mark.parametrize(
    ("policy", "error"), [("nothing", ValueError), (None, TypeError), (1, TypeError), (pow, TypeError)]
)
def test_no_policies(policy, error):
    with pytest.raises(error, match="policy"):
        set_loss_policy(policy)


def test_loss_is_public():
    assert issubclass(LockLost, metaparticle_sync.SyncError)
    assert issubclass(LockLost, RuntimeError)


def test_errors_survive_pickling():
    loss = pickle.loads(pickle.dumps(LockLost("x", 7, "because")))
    assert str(loss) == "lost the lock 'x' (token 7): because"
