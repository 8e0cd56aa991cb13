"""What happens when a hold is lost: somebody must be told, or must stop, before he believes on.

| policy | what it does |
|---|---|
| a callable | is called in a thread of its own, with the `LockLost` unless it can be called without arguments |
| `"exit"` | one line on stderr, then the process ends at once with exit code 70; the default |
| `"signal"` | one line on stderr, then SIGTERM to this process, for those who have a handler that cleans up |
| `"raise"` | nothing now: `token` raises `LockLost` from now on |

Whatever the policy: `held` is False from that moment, and `release()` and the end of a `with` raise `LockLost`.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable
from typing import Any, Final

from metaparticle_sync.errors import LockLost

EXIT_CODE: Final = 70
"""EX_SOFTWARE of sysexits.h."""

LossPolicy = str | Callable[..., object]

_WORDS: Final = ("exit", "signal", "raise")
_CHOICES: Final = "a callable or one of 'exit', 'signal', 'raise'"
_FLUSH_SECONDS: Final = 0.5

_process_policy: LossPolicy = "exit"


def set_loss_policy(policy: LossPolicy) -> None:
    """Choose what a loss does in this process wherever a lock or an election has no policy of its own.

    `policy` is `"exit"` (as it is at first), `"signal"`, `"raise"`, or a callable, which is called in a thread of its
    own: without arguments if that is possible, else with the `LockLost`.
    """
    global _process_policy  # noqa: PLW0603
    checked = checked_policy(policy, "policy")
    if checked is None:
        raise TypeError("policy is missing: it must be a callable or a word")
    _process_policy = checked


def checked_policy(policy: Any, argument: str) -> LossPolicy | None:
    """`policy`, if it is one; None stands for the process's.

    Raises:
        ValueError: it is another word.
        TypeError: it is neither word nor callable, or a callable that needs more than one argument.
    """
    if policy is None:
        return None
    if isinstance(policy, str):
        if policy not in _WORDS:
            raise ValueError(f"{argument} is {policy!r}: it must be {_CHOICES}")
        return policy
    if not callable(policy):
        raise TypeError(f"{argument} is {_CHOICES}, not {policy!r}")
    takes_nothing(policy, argument)
    return policy  # type: ignore[no-any-return]


def takes_nothing(callback: Callable[..., object], argument: str) -> bool:
    """Whether `callback` can be called without arguments. If not, it must take one.

    Raises:
        TypeError: it needs more than one.
    """
    import inspect  # noqa: PLC0415 -- slow to import, and few have a callback

    try:
        signature = inspect.signature(callback)
    except (ValueError, TypeError):
        return True
    try:
        signature.bind()
    except TypeError:
        pass
    else:
        return True
    try:
        signature.bind(None)
    except TypeError:
        raise TypeError(f"{argument} must be callable with no argument or with one; it takes {signature}") from None
    return False


def call(callback: Callable[..., object], argument: object) -> object:
    """Call it without arguments if that is possible, else with `argument`."""
    return callback() if takes_nothing(callback, "the callback") else callback(argument)


def is_raised(policy: LossPolicy | None) -> bool:
    """Whether a loss is told by an exception only."""
    return (_process_policy if policy is None else policy) == "raise"


def tell(loss: LockLost, policy: LossPolicy | None, then: Callable[[], object] = lambda: None) -> None:
    """Carry out the policy; `then` is called when whoever had to be told has been."""
    chosen = _process_policy if policy is None else policy
    if chosen == "exit":
        _exit(loss)
    elif chosen == "signal":
        _say(f"{loss}; sending SIGTERM to this process")
        os.kill(os.getpid(), signal.SIGTERM)
    elif callable(chosen):
        _start(chosen, loss, then)
        return
    then()


def _start(callback: Callable[..., object], loss: LockLost, then: Callable[[], object]) -> None:
    def run() -> None:
        try:
            call(callback, loss)
        finally:
            then()

    try:
        threading.Thread(target=run, name=f"metaparticle_sync: lost {loss.name}", daemon=True).start()
    except RuntimeError:
        run()  # No more threads can be had. Late is better than never.


def _exit(loss: LockLost) -> None:
    _say(
        f"{loss}; this process ends now with exit code {EXIT_CODE}, because to go on unlocked would be worse "
        "(on_lost= or set_loss_policy() choose otherwise)"
    )
    os._exit(EXIT_CODE)


def _say(text: str) -> None:
    """Write one line to stderr and flush; for half a second at most, because user code may block both streams."""

    def write() -> None:
        try:
            sys.stderr.write(f"metaparticle_sync: {text}\n")
            sys.stderr.flush()
            sys.stdout.flush()
        except (OSError, ValueError, AttributeError):
            pass  # A closed stream, or none at all.

    try:
        writer = threading.Thread(target=write, daemon=True)
        writer.start()
    except RuntimeError:
        write()
    else:
        writer.join(_FLUSH_SECONDS)
