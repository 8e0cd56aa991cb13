"""The elector as this process sees it: one method per endpoint. The only file that knows `requests`.

It is imported at the first contact, because `requests` takes longer to import than most programs take to start.

A prepared request is sent through an adapter: that is what mocks of `requests` replace, and it leaves out what a lock
never needs (cookies, proxies, redirects, retries, the environment). Below the adapter stand our own connections.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from http.client import HTTPException, HTTPResponse
from typing import Any, TypeVar

from requests import PreparedRequest, RequestException, Response
from requests.adapters import HTTPAdapter

from metaparticle_sync import _answers, wire
from metaparticle_sync._address import Address
from metaparticle_sync._answers import (
    Answer,
    Arrival,
    BarrierState,
    EventState,
    Granted,
    Heard,
    HolderView,
    LockSight,
    NoElector,
    Refused,
    SemaphoreState,
    SessionStatus,
)
from metaparticle_sync._clock import now
from metaparticle_sync._connections import Connection, Connections
from metaparticle_sync._stream import Stream
from metaparticle_sync.errors import ElectorUnavailable

_FAR_CLOCK_SHARE = 1 / 1.2
"""How much of a validity counts on another machine than the elector's: its clock may run this much slower."""

Meaning = TypeVar("Meaning")


class _Adapter(HTTPAdapter):
    """An adapter with one pool, whose answers stay as they come: `responses` replaces `HTTPAdapter.send` above it."""

    def __init__(self, address: Address, connections: Connections) -> None:
        super().__init__(max_retries=0)
        self._connections = connections
        self._origin_characters = len(address.url) - len(address.path_prefix)

    def get_connection_with_tls_context(self, *_: Any, **__: Any) -> Any:
        return self._connections

    def cert_verify(self, *_: Any, **__: Any) -> None:
        pass  # `Connection` verifies certificates itself.

    def request_url(self, request: Any, proxies: Any) -> str:  # noqa: ARG002
        return str(request.url[self._origin_characters :])

    def build_response(self, req: Any, resp: Any) -> Response:
        response = Response()
        response.status_code = resp.status
        response.headers = resp.headers
        response.reason = resp.reason
        response.raw = resp
        response.url = req.url
        response.request = req
        return response


class Sidecar:
    """One elector. Methods raise `ElectorUnavailable` if nothing was learnt and `Refused` if it said no."""

    def __init__(self, address: Address) -> None:
        self.address = address
        self._connections = Connections(address)
        self._adapter = _Adapter(address, self._connections)
        self._valid_share = 1.0 if address.is_loopback else _FAR_CLOCK_SHARE

    def acquire(
        self, path: str, client: str, holder: str, wait_seconds: float, timeout: float, terms: str = ""
    ) -> Granted | None:
        """Ask for a hold, and wait for it for a while. None: still waiting, ask again with the same holder id.

        `terms` are further fields of the body, as JSON with a comma before each.
        """
        body = f'{{"client":"{client}","holder":"{holder}","wait_seconds":{wait_seconds:.3f}{terms}}}'
        return self._ask(_answers.acquired, "PUT", path, body, timeout)

    def release(self, path: str, client: str, holder: str, timeout: float) -> None:
        """Release a hold, or leave the queue."""
        body = f'{{"client":"{client}","holder":"{holder}"}}'
        self._ask(_answers.done, "DELETE", path, body, timeout)

    def read_lock(self, path: str, timeout: float) -> HolderView | None:
        """Who holds a lock; None if it is free."""
        return self._ask(_answers.holder_view, "GET", path, None, timeout)

    def release_permits(
        self,
        path: str,
        client: str,
        operation: str,
        terms: str,
        count: int,
        holders: Sequence[str],
        heard: Heard,
        timeout: float,
    ) -> SemaphoreState:
        """Give back so many permits of a semaphore, at first those of `holders`.

        An elector that has restarted since it was first asked learns that from `heard`, which was before.
        """
        listed, incarnation = json.dumps(list(holders)), json.dumps(heard.incarnation)
        body = (
            f'{{"client":"{client}","operation":"{operation}","permits":{count},"holders":{listed},'
            f'"incarnation":{incarnation},"operations":{heard.operations}{terms}}}'
        )
        return self._ask(_answers.permits_released, "POST", path, body, timeout)

    def read_semaphore(self, path: str, timeout: float) -> int | None:
        """How many permits are free; None: nobody has used it."""
        return self._ask(_answers.semaphore_view, "GET", path, None, timeout)

    def arrive(
        self,
        path: str,
        client: str,
        holder: str,
        party: Mapping[str, object],
        arrived: Arrival | None,
        wait_seconds: float,
        timeout: float,
    ) -> Arrival:
        """Arrive at a barrier, or wait for the others where this party has `arrived`; for a while."""
        place = _place_of(arrived)
        fields = {"client": client, "holder": holder, "arrived": place, "wait_seconds": round(wait_seconds, 3)}
        return self._ask(_answers.arrival, "PUT", path, json.dumps(fields | dict(party)), timeout)

    def depart(self, path: str, client: str, holder: str, arrived: Arrival | None, timeout: float) -> str:
        """Leave a barrier, which breaks it, unless the answer says that this party has passed."""
        body = json.dumps({"client": client, "holder": holder, "arrived": _place_of(arrived)})
        return self._ask(_answers.departure, "DELETE", path, body, timeout)

    def change_barrier(
        self, path: str, client: str, operation: str, change: Mapping[str, object], timeout: float
    ) -> BarrierState:
        """Open, abort or reset a barrier."""
        body = json.dumps({"client": client, "operation": operation, **change})
        return self._ask(_answers.barrier_state, "POST", path, body, timeout)

    def read_barrier(self, path: str, timeout: float) -> BarrierState:
        """How a barrier stands."""
        return self._ask(_answers.barrier_view, "GET", path, None, timeout)

    def read_event(self, path: str, timeout: float) -> EventState:
        """Whether an event is set."""
        return self._ask(_answers.event_view, "GET", path, None, timeout)

    def change_event(self, path: str, client: str, operation: str, timeout: float, *, is_set: bool) -> EventState:
        """Set an event, or clear it."""
        body = json.dumps({"client": client, "operation": operation, "is_set": is_set})
        return self._ask(_answers.event_state, "PUT", path, body, timeout)

    def await_event(
        self, path: str, client: str, generation: int | None, wait_seconds: float, timeout: float
    ) -> EventState:
        """Wait for a while until an event is set, or was set since `generation`."""
        body = json.dumps({"client": client, "generation": generation, "wait_seconds": round(wait_seconds, 3)})
        return self._ask(_answers.event_state, "POST", path, body, timeout)

    def enqueue_ticket(self, path: str, client: str, holder: str, timeout: float) -> str:
        """Queue as a waiter of a condition."""
        body = json.dumps({"client": client, "holder": holder, "enqueued": False, "wait_seconds": 0})
        return self._ask(_answers.ticket_state, "PUT", path, body, timeout)

    def await_notification(self, path: str, client: str, holder: str, wait_seconds: float, timeout: float) -> str:
        """Wait for a while until this waiter is notified."""
        body = json.dumps(
            {"client": client, "holder": holder, "enqueued": True, "wait_seconds": round(wait_seconds, 3)}
        )
        return self._ask(_answers.ticket_state, "PUT", path, body, timeout)

    def withdraw_ticket(self, path: str, client: str, holder: str, timeout: float, *, pass_on: bool) -> str:
        """Wait no longer. If this waiter was notified just then, say so, or pass it on to the next one."""
        body = json.dumps({"client": client, "holder": holder, "pass_on": pass_on})
        return self._ask(_answers.ticket_state, "DELETE", path, body, timeout)

    def notify(self, path: str, client: str, operation: str, waiters: int | None, timeout: float) -> int:
        """Notify the oldest waiters of a condition; None: all."""
        body = json.dumps({"client": client, "operation": operation, "waiters": waiters})
        return self._ask(_answers.notified, "POST", path, body, timeout)

    def look_at_lock(self, path: str, known: str, wait_seconds: int, timeout: float) -> LockSight | None:
        """Who holds a lock. If that is still what the tag `known` stands for, wait for a while; None: it still is."""
        headers = {"If-None-Match": known, "Prefer": f"wait={wait_seconds}"} if known else {}
        return self._ask(_answers.lock_sight, "GET", path, None, timeout, headers)

    def open_session(
        self, client: str, process: str, holds: Sequence[dict[str, str]], stream: str | None, timeout: float
    ) -> SessionStatus:
        """Say who we are and what we hold: at first, and whenever the elector does not know it (any more)."""
        body = json.dumps({"holds": list(holds), "process": process, "stream": stream})
        return self._ask(_answers.session_status, "PUT", wire.session_path(client), body, timeout)

    def heartbeat(self, client: str, acknowledged: Sequence[str], stream: str | None, timeout: float) -> SessionStatus:
        """Say that we live, and which losses have been dealt with."""
        body = json.dumps({"acknowledged": list(acknowledged), "stream": stream})
        return self._ask(_answers.session_status, "POST", wire.session_path(client), body, timeout)

    def close_session(self, client: str, timeout: float) -> None:
        """End the session: all its holds are released, its waiters leave."""
        self._ask(_answers.done, "DELETE", wire.session_path(client), None, timeout)

    def open_stream(self, client: str, timeout: float) -> Stream:
        """Open the stream of our session."""
        path = wire.stream_path(client)
        response, sent_at = self._send("GET", path, None, timeout)
        if response.status_code == 200:
            return Stream(response)
        answer = self._read(response, sent_at)
        raise self._translated(answer.refusal(), "GET", path)

    def watch_requests(self, taken: deque[Connection] | None) -> None:
        """From now on, note the connections that this thread's requests use in `taken`."""
        self._connections.watch_requests(taken)

    def close(self) -> None:
        """Close the connections that are not in use."""
        self._connections.close()

    def _ask(
        self,
        understand: Callable[[Answer], Meaning],
        method: str,
        path: str,
        body: str | None,
        timeout: float,
        headers: dict[str, str] | None = None,
    ) -> Meaning:
        response, sent_at = self._send(method, path, body, timeout, headers)
        answer = self._read(response, sent_at)
        try:
            return understand(answer)
        except (NoElector, Refused) as error:
            raise self._translated(error, method, path) from None

    def _translated(self, error: NoElector | Refused, method: str, path: str) -> Exception:
        """The error for the caller: "no elector" and "not now" both mean that nothing was learnt."""
        if isinstance(error, NoElector):
            text = f"what answers at {self.address.url} is no elector ({method} {path} was answered with {error})"
            return ElectorUnavailable(text, address=self.address.url)
        return self._unavailable(str(error)) if _answers.is_not_now(error) else error

    def _send(
        self, method: str, path: str, body: str | None, timeout: float, more_headers: dict[str, str] | None = None
    ) -> tuple[Response, float]:
        request = PreparedRequest()
        request.method = method
        request.url = self.address.url + path  # Not prepared: preparing would resolve `%2E%2E`, a lawful name.
        headers: Any = dict(more_headers or {})
        if body is not None:
            request.body = body.encode()
            headers |= {"Content-Type": wire.JSON_TYPE, "Content-Length": str(len(request.body))}
        request.headers = headers
        sent_at = now()
        try:
            return self._adapter.send(request, timeout=timeout), sent_at
        except (RequestException, OSError, HTTPException) as error:
            raise self._unavailable(_root_of(error)) from error

    def _read(self, response: Response, sent_at: float) -> Answer:
        raw: Any = response.raw
        try:
            body = self._connections.read(raw) if isinstance(raw, HTTPResponse) else response.content
        except (RequestException, OSError, HTTPException) as error:
            raise self._unavailable(f"its answer broke off: {_root_of(error)}") from error
        content_type = response.headers.get("content-type", "")
        etag = response.headers.get("etag", "")
        return Answer(response.status_code, content_type, body, sent_at, self._valid_share, etag)

    def _unavailable(self, why: str) -> ElectorUnavailable:
        url = self.address.url
        return ElectorUnavailable(f"the elector at {url} is not available: {why}", address=url)


def _place_of(arrived: Arrival | None) -> dict[str, int] | None:
    return None if arrived is None else {"generation": arrived.generation, "index": arrived.number}


def _root_of(error: BaseException) -> str:
    """The innermost cause of a transport's error, in its own words."""
    while error.args and isinstance(error.args[0], BaseException):
        error = error.args[0]
    text = getattr(error, "strerror", None) or str(error)
    return text or type(error).__name__
