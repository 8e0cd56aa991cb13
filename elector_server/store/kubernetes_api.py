"""Requests to the API server with the access of the moment: tokens that rotate, certificates that change.

A refused token (401) is the one case in which a request is sent again here: nothing was done, and the token may have
been replaced meanwhile.
"""

from __future__ import annotations

import asyncio
import json
import math
import ssl
from collections.abc import Callable
from http import HTTPStatus
from typing import Any, Final

from elector_server.store import StoreUnavailable
from elector_server.store.kubernetes_access import Access, NoAccess
from elector_server.store.kubernetes_http import Answer, NotSent, Pool, Request
from metaparticle_sync import wire

CALL_SECONDS: Final = 10.0
"""How long one call may take, whatever its caller thinks."""

REREAD_SECONDS: Final = 30.0
"""How old a token from a file may get. The kubelet replaces it long before it ends."""

PAUSE_SECONDS_MAX: Final = 2.0
"""How long a server that asks for a pause gets one, whatever it asks for."""


class Api:
    """One API server, as one identity.

    Args:
        load: reads the access as it is now; may take long, so it runs in a thread.
        call_seconds: how long its caller waits for one call. Half of it is the longest pause that a server gets.
    """

    def __init__(self, load: Callable[[], Access], call_seconds: float = math.inf) -> None:
        self._load = load
        self._call_seconds = call_seconds
        self._access: Access | None = None
        self._loaded_at = 0.0
        self._stale = False
        self._loading: asyncio.Future[Access] | None = None
        self._quiet_until = 0.0
        self._pool = Pool(f"metaparticle-elector/{wire.VERSION}")

    @property
    def connections(self) -> int:
        """How many connections stand."""
        return self._pool.open

    async def call(self, method: str, path: str, body: dict[str, Any] | None = None, *, urgent: bool = False) -> Answer:
        """One request and its answer, of whatever status. An urgent one waits for no other.

        Raises:
            NotSent: nothing reached the server.
            NotAnswered: nobody knows what became of it.
            StoreUnavailable: there is no access.
        """
        content = b"" if body is None else _encode(body).encode()

        async def send(access: Access) -> Answer:
            request = Request(method, access.prefix + path, content, access.authorization)
            return await self._pool.call(access.target, request, min(CALL_SECONDS, self._call_seconds), urgent=urgent)

        await self._pause()
        return self._noted(await self._with_access(send))

    async def stream(self, path: str, seconds: float, on_data: Callable[[bytes], None]) -> Answer:
        """One request whose body goes to `on_data` as it comes, until it ends or `seconds` are over.

        Raises: as `call` does; `NotAnswered` also if the stream does not end properly.
        """

        async def send(access: Access) -> Answer:
            request = Request("GET", access.prefix + path, b"", access.authorization)
            return await self._pool.stream(access.target, request, seconds, on_data)

        await self._pause()
        return self._noted(await self._with_access(send))

    async def close(self) -> None:
        """Close all connections."""
        await self._pool.close()

    async def _with_access(self, send: Callable[[Access], Any]) -> Answer:
        access = await self._current()
        try:
            answer: Answer = await send(access)
        except NotSent as error:
            # Its certificate or address may have changed: look again before the next request.
            self._stale = self._stale or isinstance(error.__cause__, ssl.SSLError)
            raise
        if answer.status == HTTPStatus.UNAUTHORIZED:
            renewed = await self._renewed(access)
            if renewed.authorization != access.authorization or renewed.target != access.target:
                answer = await send(renewed)
        return answer

    async def _current(self) -> Access:
        access = self._access
        now = asyncio.get_running_loop().time()
        old = access is not None and access.rotates and now - self._loaded_at > REREAD_SECONDS
        if access is None or old or self._stale:
            return await self._renewed(access)
        return access

    async def _renewed(self, refused: Access | None) -> Access:
        """The access as it is now; read once for all who found the same one wanting.

        Whoever gives up waiting does not end it: a plugin that takes longer than one request would never get done.
        """
        if self._access is not None and self._access is not refused:
            return self._access
        if self._loading is None:
            self._loading = asyncio.ensure_future(asyncio.to_thread(self._load))
            self._loading.add_done_callback(self._loaded)
        try:
            return await asyncio.shield(self._loading)
        except NoAccess as error:
            raise StoreUnavailable(str(error), "no_access") from error

    def _loaded(self, loading: asyncio.Future[Access]) -> None:
        self._loading = None
        if not loading.cancelled() and loading.exception() is None:
            self._access = loading.result()
            self._loaded_at, self._stale = asyncio.get_running_loop().time(), False

    async def _pause(self) -> None:
        seconds = self._quiet_until - asyncio.get_running_loop().time()
        if seconds > 0:
            await asyncio.sleep(seconds)

    def _noted(self, answer: Answer) -> Answer:
        wanted = answer.headers.get(b"retry-after", b"") if answer.status >= 400 else b""
        if wanted.isdigit():
            # No more digits than int() takes, and enough for any pause.
            pause = min(int(wanted[:9]), PAUSE_SECONDS_MAX, self._call_seconds / 2)
            self._quiet_until = asyncio.get_running_loop().time() + pause
        return answer


_encode: Final = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
