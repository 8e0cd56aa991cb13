"""What a request passes before Falcon sees it.

    receive ──> read_body ──> Guard.check ──> decoded_path ──> Falcon: the locks, or health by the listening port
                   413            421, 403          400

Falcon gets a path that is decoded strictly (a lenient one would make `%FF` and `%FE` the same name), no query, and no
body: the body waits in the request's Caller.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, Final
from urllib.parse import unquote_to_bytes

from elector_server.guard import Guard, OriginGuard
from elector_server.problems import BadMethod, BadName, BadPath, ElectorStopping, InternalError, Problem
from elector_server.resources.caller import SCOPE_KEY, Caller, Departed, Receive, peer_text, read_body
from elector_server.resources.rendering import problem_body, problem_headers
from metaparticle_sync import wire

Scope = dict[str, Any]
Send = Callable[[dict[str, Any]], Awaitable[None]]
App = Callable[[Any, Any, Any], Awaitable[None]]

log = logging.getLogger("elector")

_NEEDED_HEADERS: Final = frozenset({b"content-type", b"if-none-match", b"prefer"})
_METHODS: Final = ("DELETE", "GET", "POST", "PUT")
_KNOWN_METHODS: Final = frozenset({*_METHODS, "HEAD", "OPTIONS", "PATCH"})
_BAD_ESCAPE: Final = re.compile(rb"%(?![0-9A-Fa-f]{2})")
_BODY_TAKEN: Final = {"type": "http.request", "body": b"", "more_body": False}


class Front:
    """The ASGI application: it guards and reads each request, then hands it to the one of two apps."""

    def __init__(self, locks: App, health: App, *, guard: Guard, health_port: int | None) -> None:
        self._locks = locks
        self._health = health
        self._guard = guard
        self._health_guard = OriginGuard()
        self._health_port = health_port

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; or, once, start and stop with the server."""
        if scope["type"] == "lifespan":
            await self._locks(scope, receive, send)
            return
        try:
            app = await self._admit(scope, receive)
            await app(scope, _body_taken, send)
        except Departed:
            return
        except Problem as problem:
            await send_problem(send, problem)
        except asyncio.CancelledError:
            # The server cancels only what outlasts its stop. RuntimeError: the answer had begun, so its end is missing.
            with suppress(RuntimeError):
                await send_problem(send, ElectorStopping())
        except Exception:
            log.exception("the answer to %s %s failed", scope["method"], scope["path"])
            with suppress(RuntimeError):
                await send_problem(send, InternalError())

    async def _admit(self, scope: Scope, receive: Receive) -> App:
        """Check the request and make it ready for the app that is returned.

        Raises:
            Problem: it is refused.
            Departed: its caller has left.
        """
        body = await read_body(receive)
        if scope["method"] not in _KNOWN_METHODS:
            raise BadMethod(scope["method"], scope["path"], _METHODS)
        if self._is_health(scope):
            app = self._health
            self._health_guard.check(scope["headers"])
        else:
            app = self._locks
            self._guard.check(scope["headers"])
            scope["path"] = decoded_path(scope)
        scope["query_string"] = b""
        scope[SCOPE_KEY] = Caller(body, peer_text(scope["client"]), receive)
        _forget_headers(scope)
        return app

    def _is_health(self, scope: Scope) -> bool:
        return self._health_port is not None and scope["server"][1] == self._health_port


async def _body_taken() -> dict[str, Any]:
    return _BODY_TAKEN


def _forget_headers(scope: Scope) -> None:
    """Keep the few headers that are still needed: a parked request lasts long, and each header costs 150 bytes."""
    headers = scope["headers"]
    headers[:] = [header for header in headers if header[0] in _NEEDED_HEADERS]


def decoded_path(scope: Scope) -> str:
    """The path as text.

    Raises:
        BadName: its bytes are no UTF-8, or a percent sign quotes nothing.
        BadPath: there is a query. No call has one, and of an unquoted name with a `?` only half would be locked.
            Or it is none at all, such as `*`.
    """
    raw: bytes = scope.get("raw_path") or scope["path"].encode()
    if scope["query_string"]:
        raise BadPath(raw.decode("ascii", "backslashreplace"), "no call takes a query; write a ? in a name as %3F")
    if b"%" in raw:
        if _BAD_ESCAPE.search(raw):
            raise BadName("the path has a % that quotes nothing; write a % in a name as %25")
        raw = unquote_to_bytes(raw)
    try:
        path = raw.decode()
    except UnicodeDecodeError as error:
        raise BadName("the path is not UTF-8; quote the bytes of a name's UTF-8 form") from error
    if not path.startswith("/"):
        raise BadPath(path)
    return path


async def send_problem(send: Send, problem: Problem) -> None:
    """Answer without Falcon."""
    body = problem_body(problem)
    headers = {
        "content-type": wire.PROBLEM_TYPE,
        "content-length": str(len(body)),
        **problem_headers(problem),
    }
    encoded = [(name.encode(), value.encode()) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": problem.status, "headers": encoded})
    await send({"type": "http.response.body", "body": body})
