"""Import, fork, end: what the client does to the process it lives in."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import textwrap
import time

import pytest

from metaparticle_sync import Lock, NotHeld, _connections
from tests.client.fake_elector import eventually
from tests.client.faults import hang


def run(elector, program, **options):
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={"METAPARTICLE_SYNC_URL": elector.url if elector else "", "PYTHONPATH": ":".join(sys.path)},
        **options,
    )


SLOW = ["requests", "urllib3", "http.client", "ssl", "asyncio", "importlib.metadata", "inspect", "logging", "email"]


@pytest.mark.parametrize(
    "statement",
    ["import metaparticle_sync", "from metaparticle_sync import Lock, Election, LockLost, ElectorUnavailable"],
)
def test_import_is_cheap_and_does_nothing(statement):
    done = run(
        None,
        f"""
        import sys, threading, os
        before = set(sys.modules)
        {statement}
        print([name for name in {SLOW!r} if name in set(sys.modules) - before], threading.active_count())
        print(len(os.listdir("/proc/self/fd")))
    """,
    )
    lines = done.stdout.splitlines()
    assert lines[0] == "[] 1", done.stderr
    assert int(lines[1]) <= 5


def test_every_public_name_is_there():
    done = run(
        None,
        """
        import metaparticle_sync
        for name in metaparticle_sync.__all__:
            value = getattr(metaparticle_sync, name)
            home = "threading" if name == "BrokenBarrierError" else "metaparticle_sync"
            assert isinstance(value, str) or value.__module__.startswith(home), name
        assert set(metaparticle_sync.__all__) <= set(dir(metaparticle_sync))
        try:
            metaparticle_sync.Semaphor
        except AttributeError as error:
            print(error)
    """,
    )
    assert done.stdout == "module 'metaparticle_sync' has no attribute 'Semaphor'\n", done.stderr


def test_exit_releases(elector):
    done = run(
        elector,
        """
        from metaparticle_sync import Lock
        Lock("x").acquire()
        Lock("y").acquire()
    """,
    )
    assert done.returncode == 0, done.stderr
    assert elector.locks == {}
    assert len(elector.asked("DELETE", "/sessions")) == 1


def test_exit_without_a_lock_says_nothing(elector):
    done = run(
        elector,
        """
        from metaparticle_sync import Lock
        Lock("x")
    """,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert elector.requests == []


def test_exit_is_not_held_up_by_an_elector_that_hangs(elector):
    elector.inject("DELETE", "/sessions", hang)
    before = time.monotonic()
    done = run(
        elector,
        """
        from metaparticle_sync import Lock
        Lock("x").acquire()
    """,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert time.monotonic() - before < 10


def test_exit_leaves_no_warning(elector):
    done = run(
        elector,
        """
        import sys, warnings
        warnings.simplefilter("always")
        from metaparticle_sync import Lock
        with Lock("x"):
            pass
    """,
    )
    assert (done.returncode, done.stderr) == (0, "")


def in_child(act):
    """Run it in a forked child and return its pickled answer."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reader)
        try:
            answer = act()
        except BaseException as error:  # noqa: BLE001
            answer = error
        with os.fdopen(writer, "wb") as out:
            pickle.dump(answer, out)
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as answer:
        result = pickle.load(answer)
    assert os.waitpid(child, 0)[1] == 0
    return result


pytestmark = pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")


def test_the_child_of_a_holder_holds_nothing(elector):
    lock = Lock("x")
    lock.acquire()

    def look():
        return lock.held, repr(lock).split()[0], lock.locked(), lock.acquire(blocking=False)

    assert in_child(look) == (False, "<unlocked", True, False)
    assert lock.held
    assert elector.holder_of("x") is not None


def test_the_child_can_not_release_its_parent_s_hold(elector):
    lock = Lock("x")
    lock.acquire()
    error = in_child(lock.release)
    assert isinstance(error, NotHeld)
    assert "held by another" in str(error)
    assert lock.held


def test_leaving_a_with_in_the_child_does_nothing(elector):
    lock = Lock("x")

    def leave():
        lock.__exit__(None, None, None)

    with lock:
        assert in_child(leave) is None
        assert lock.held
        assert elector.holder_of("x") is not None


def test_locks_made_before_the_fork_work_in_the_child(elector):
    lock = Lock("x")
    with lock:
        pass

    def use():
        with lock:
            return lock.held, lock.token, lock._keeper.client

    held, token, client = in_child(use)
    assert held
    assert client != lock._keeper.client
    with lock:
        assert lock.token > token


def test_the_child_is_another_client_with_its_own_connections(elector):
    lock = Lock("x")
    with lock:
        pass
    asked = len(elector.requests)
    ours = {request.peer for request in elector.requests}

    def use():
        with lock:
            return lock._keeper.client

    client = in_child(use)
    theirs = {r.peer for r in elector.requests[asked:] if client in r.path or r.body.get("client") == client}
    assert len(theirs) >= 2
    assert not ours & theirs


def _alive_connections():
    return _connections._alive


def test_the_child_closes_its_copies_of_the_parent_s_sockets(elector):
    lock = Lock("x")
    lock.acquire()
    numbers = [connection.socket.fileno() for connection in _alive_connections() if connection.socket is not None]
    assert len(numbers) >= 2

    def look():
        return [number for number in numbers if _is_open(number)]

    assert in_child(look) == []
    assert all(_is_open(number) for number in numbers)


def _is_open(descriptor):
    try:
        os.fstat(descriptor)
    except OSError:
        return False
    return True


def test_the_end_of_the_child_leaves_the_parent_s_hold(elector):
    done = run(
        elector,
        """
        import os, sys, warnings
        warnings.simplefilter("ignore")  # Of forks in a process with threads.
        from metaparticle_sync import Lock
        lock = Lock("x")
        lock.acquire()
        if os.fork() == 0:
            sys.exit(0)   # Its atexit handlers run.
        assert os.wait()[1] == 0
        assert lock.held
        print(lock.locked(), flush=True)
        lock.release()
    """,
    )
    assert (done.stdout, done.stderr) == ("True\n", "")
    assert len(elector.asked("DELETE", "/sessions")) == 1


def test_multiprocessing_with_every_start_method(elector, tmp_path):
    program = tmp_path / "program.py"
    program.write_text(
        textwrap.dedent("""
        import multiprocessing, sys
        from metaparticle_sync import Lock

        def work(lock, counter):
            for _ in range(5):
                with lock:
                    counter.value = counter.value + 1

        if __name__ == "__main__":
            context = multiprocessing.get_context(sys.argv[1])
            lock, counter = Lock(), context.Value("i", 0, lock=False)
            with lock:
                workers = [context.Process(target=work, args=(lock, counter)) for _ in range(3)]
                for worker in workers:
                    worker.start()
                print(counter.value)
            for worker in workers:
                worker.join()
            print(counter.value)
    """)
    )
    for method in ("fork", "spawn", "forkserver"):
        done = subprocess.run(
            [sys.executable, str(program), method],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            env={"METAPARTICLE_SYNC_URL": elector.url, "PYTHONPATH": ":".join(sys.path)},
        )
        assert done.stdout.split() == ["0", "15"], (method, done.stderr)
    assert eventually(lambda: elector.locks == {})
