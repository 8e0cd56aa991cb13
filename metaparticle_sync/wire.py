"""The protocol between an application and its elector, written once and read by both sides.

Here stand the paths, the shapes of the JSON bodies, the bounds of every field, and the one table that says which
HTTP status an error code has. The elector reads that table forwards, the client backwards. `docs/protocol.md` shows
each call with curl.

Nothing here does I/O, and importing it costs next to nothing: the client imports it in every application.
"""

from __future__ import annotations

import os
from typing import Final
from urllib.parse import quote

VERSION: Final = "0.1.0"
"""Of the client and the elector, which are released together."""

DEFAULT_PORT: Final = 13131
DEFAULT_URL: Final = f"http://127.0.0.1:{DEFAULT_PORT}"

API_VERSION: Final = "metaparticle.io/v1"

LOCKS_PATH: Final = "/locks"
SEMAPHORES_PATH: Final = "/semaphores"
EVENTS_PATH: Final = "/events"
CONDITIONS_PATH: Final = "/conditions"
BARRIERS_PATH: Final = "/barriers"
SESSIONS_PATH: Final = "/sessions"
OPENAPI_PATH: Final = "/openapi.json"
STREAM_SUFFIX: Final = "/stream"

NAME_CHARACTERS_MAX: Final = 512
HOLDS_MAX: Final = 10_000
BODY_BYTES_MAX: Final = 2 * 1024 * 1024
WAIT_SECONDS_MAX: Final = 25.0
"""The longest time one request may stay parked; a longer wait is a row of such requests."""

LIMIT_MAX: Final = 2**31 - 1
"""The largest value of a semaphore."""

PARTIES_MAX: Final = 1_000
"""Of one barrier: a record has room for so many."""

PERMITS_MAX: Final = 1_000
"""Permits of one semaphore that can be held at a time, and that one release can give back."""

METADATA_CHARACTERS_MAX: Final = 4_096
"""What a leader may say about itself, as compact JSON."""

HEX_ID_CHARACTERS: Final = 32
PROCESS_CHARACTERS_MAX: Final = 256

JSON_TYPE: Final = "application/json"
PROBLEM_TYPE: Final = "application/problem+json"
STREAM_TYPE: Final = "application/x-ndjson"

LEGACY_HOLD_SECONDS: Final = 30.0
"""How long a hold of the original protocol (a PUT without a body) lives after its last PUT."""

LEGACY_PROMISE_SECONDS: Final = 12.0
"""A legacy 200 promises this much: the client's next heartbeat comes after 10 s."""

STATUS_OF_CODE: Final[dict[str, int]] = {
    "bad_body": 400,
    "bad_name": 400,
    "bad_path": 400,
    "bad_method": 405,
    "barrier_broken": 409,
    "body_too_large": 413,
    "cross_origin": 403,
    "elector_busy": 503,
    "elector_starting": 503,
    "elector_stopping": 503,
    "holder_dead": 409,
    "internal_error": 500,
    "limit_mismatch": 409,
    "lock_held": 409,
    "no_permit": 409,
    "not_held": 409,
    "parties_mismatch": 409,
    "queue_full": 503,
    "semaphore_full": 409,
    "store_unavailable": 503,
    "unknown_client": 409,
    "unsupported_media_type": 415,
    "wrong_host": 421,
    "legacy_disabled": 409,
    "legacy_too_short": 409,
}
"""Every error code of the protocol and its HTTP status. 404 is missing on purpose: it is no refusal, but what a GET
answers if there is no record ("the lock is free")."""

UNAVAILABLE_CODES: Final = frozenset(
    {"elector_busy", "elector_starting", "elector_stopping", "store_unavailable", "queue_full"}
)
"""Codes that say "not now": the same request may succeed later, and nothing was decided."""

EVENT_ATTACHED: Final = "attached"
EVENT_TICK: Final = "tick"
EVENT_LOST: Final = "lost"
EVENT_STOPPING: Final = "stopping"


def new_id() -> str:
    """A fresh random 128-bit id (of a client or of one acquisition), as 32 lower-case hexadecimal digits."""
    return os.urandom(HEX_ID_CHARACTERS // 2).hex()


def is_id(text: object) -> bool:
    """Whether `text` has the form that `new_id` makes."""
    return (
        isinstance(text, str) and len(text) == HEX_ID_CHARACTERS and all(digit in "0123456789abcdef" for digit in text)
    )


def short_id(full_id: str) -> str:
    """The form in which ids appear in lists and logs: a holder id is the right to release, hence a secret."""
    return full_id[:8]


def check_name(name: object) -> str:
    """Return `name` if it can name a primitive.

    Raises:
        TypeError: `name` is no text.
        ValueError: it is empty, longer than 512 characters, or holds half a surrogate pair (no UTF-8 form).
    """
    if not isinstance(name, str):
        raise TypeError(f"a name is text (str), not {type(name).__name__}")
    if not name:
        raise ValueError("a name has at least one character; leave it out (None) for a fresh, unnamed primitive")
    if len(name) > NAME_CHARACTERS_MAX:
        raise ValueError(f"a name has at most {NAME_CHARACTERS_MAX} characters, this one has {len(name)}")
    try:
        name.encode()
    except UnicodeEncodeError as error:
        raise ValueError(f"the name {name!r} holds half a surrogate pair, which is no character") from error
    return name


def path_of(collection: str, name: str) -> str:
    """The path of one primitive. Dots are quoted too, because `..` would be resolved by clients and proxies."""
    return f"{collection}/{quote(name, safe='').replace('.', '%2E')}"


def lock_path(name: str) -> str:
    """The path of one lock."""
    return path_of(LOCKS_PATH, name)


def session_path(client: str) -> str:
    """The path of one client session."""
    return f"{SESSIONS_PATH}/{client}"


def stream_path(client: str) -> str:
    """The path of a client session's stream: a line of JSON for each event, and a tick every few seconds."""
    return session_path(client) + STREAM_SUFFIX
