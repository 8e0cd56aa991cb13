"""The store in a cluster: each record is a custom resource of one namespace, in the API server.

Conditional writes are the API server's own: `create` is a POST of a named object, `replace` a PUT with the version that
was read, `delete` one with that version as its precondition. Each is one request, sent once. What an answer means is
in `kubernetes_errors`, how records look in `kubernetes_objects`, how changes are followed in `kubernetes_watching`.

A `replace` writes the whole object, with the labels and annotations that others added to it: `kubernetes_metadata`.
"""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import Callable
from http import HTTPStatus
from operator import attrgetter, itemgetter
from typing import Any, Final, TypeVar
from urllib.parse import quote

from elector_server.store import Conflict, Exists, Listing, Record, Spec, StoreUnavailable
from elector_server.store.kubernetes_access import Access
from elector_server.store.kubernetes_api import Api
from elector_server.store.kubernetes_errors import (
    Operation,
    Status,
    is_record_missing,
    is_version_conflict,
    not_answered,
    not_sent,
    refusal,
)
from elector_server.store.kubernetes_http import Answer, NotAnswered, NotSent
from elector_server.store.kubernetes_metadata import ForeignMetadata, is_gone
from elector_server.store.kubernetes_names import label_value, object_name
from elector_server.store.kubernetes_objects import (
    API_VERSION,
    SESSION_LABEL,
    plural,
    to_object,
    version_of,
)
from elector_server.store.kubernetes_watching import Streams
from elector_server.store.watching import ChangeWatch, Topic

# Without it the server would drop a field that an older definition does not know, in silence.
_STRICT: Final = "?fieldValidation=Strict"

Read = TypeVar("Read")

_name = attrgetter("name")


class KubernetesStore:
    """Records of one namespace. One handle serves one event loop.

    Args:
        load: reads the access to the API server as it is now.
        namespace: where the records are.
        server: the API server's address, for messages.
        call_seconds: how long its caller waits for one call: what ends sooner says why.
    """

    def __init__(
        self,
        load: Callable[[], Access],
        namespace: str,
        server: str,
        *,
        call_seconds: float = math.inf,
    ) -> None:
        self._namespace = namespace
        self._server = server
        self._api = Api(load, call_seconds)
        self._metadata = ForeignMetadata()
        self._streams = Streams(
            self._api,
            lambda kind: (self._collection(kind), self._operation("watch", kind)),
            self._metadata.to_record,
        )
        # Renewals: whoever asks for many locks at once, or a webhook that hangs, must not cost the session.
        self._urgent = self._operation("update", "session")
        self._closed = False

    def __repr__(self) -> str:
        state = "closed" if self._closed else f"{self._streams.watches} watches"
        return f"<KubernetesStore namespace {self._namespace}: {self._api.connections} connections, {state}>"

    @property
    def connections(self) -> int:
        """How many connections stand."""
        return self._api.connections

    async def get(self, kind: str, name: str) -> Record | None:
        """Read one record."""
        operation = self._operation("get", kind)
        answer = await self._call(operation, "GET", self._object(kind, name))
        if answer.status == HTTPStatus.OK:
            return _understood(operation, answer, lambda stored: self._metadata.to_record(kind, stored, name))
        status = Status.of(answer)
        if is_record_missing(status):
            return None
        raise refusal(operation, status)

    async def list(self, kind: str, *, session: str | None = None, name: str | None = None) -> Listing:
        """Read many records, as new as the newest write."""
        operation = self._operation("list", kind)
        answer = await self._call(operation, "GET", self._collection(kind) + _selectors(session, name))
        if answer.status != HTTPStatus.OK:
            raise refusal(operation, Status.of(answer))

        def read(body: Any) -> Listing:
            found = (self._metadata.to_record(kind, stored, name) for stored in body["items"])
            records = (record for record in found if record is not None and session in {None, record.session})
            return Listing(tuple(sorted(records, key=_name)), version_of(body))

        return _understood(operation, answer, read)

    async def create(self, kind: str, name: str, session: str, spec: Spec) -> Record:
        """Write an object that is not there."""
        operation = self._operation("create", kind)
        body = to_object(kind, name, session, spec)
        answer = await self._call(operation, "POST", self._collection(kind) + _STRICT, body)
        if answer.status == HTTPStatus.CREATED:
            version = _understood(operation, answer, lambda stored: self._metadata.see(kind, stored))
            return Record(kind, name, version, session, spec)
        status = Status.of(answer)
        if status.reason == "AlreadyExists":
            raise Exists(f"{kind} {name!r} is there")
        raise refusal(operation, status)

    async def replace(self, kind: str, name: str, version: int, session: str, spec: Spec) -> Record:
        """Write over the object that has `version`."""
        operation = self._operation("update", kind)
        body = self._metadata.keep(kind, to_object(kind, name, session, spec, version))
        answer = await self._call(operation, "PUT", self._object(kind, name) + _STRICT, body)
        if answer.status == HTTPStatus.OK:
            written, gone = _understood(
                operation, answer, lambda stored: (self._metadata.see(kind, stored), is_gone(stored))
            )
            if gone:
                raise Conflict(f"{kind} {name!r} was being deleted, and is gone")
            return Record(kind, name, written, session, spec)
        raise _refused_condition(operation, Status.of(answer), f"{kind} {name!r}", version)

    async def delete(self, kind: str, name: str, version: int) -> None:
        """Remove the object that has `version`."""
        operation = self._operation("delete", kind)
        options = {
            "apiVersion": "v1",
            "kind": "DeleteOptions",
            "preconditions": {"resourceVersion": str(version)},
            "propagationPolicy": "Background",
        }
        answer = await self._call(operation, "DELETE", self._object(kind, name), options)
        if answer.status not in {HTTPStatus.OK, HTTPStatus.ACCEPTED}:
            raise _refused_condition(operation, Status.of(answer), f"{kind} {name!r}", version)
        _understood(operation, answer, itemgetter("kind"))
        self._metadata.forget(kind, object_name(name))

    def watch(self, kind: str, since: int, *, name: str | None = None, session: str | None = None) -> ChangeWatch:
        """Report changes since a version that the server still knows."""
        topic = Topic.of_watch(kind, name, session)
        return ChangeWatch(topic, since, self._open_watch, self._streams.discard)

    async def close(self) -> None:
        """End all watches and close all connections."""
        self._closed = True
        tasks = self._streams.end_all(StoreUnavailable("the store was closed"))
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._api.close()

    def _open_watch(self, watch: ChangeWatch) -> None:
        if self._closed:
            watch.end(StoreUnavailable("the store was closed"))
        else:
            self._streams.open(watch)

    async def _call(self, operation: Operation, method: str, path: str, body: dict[str, Any] | None = None) -> Answer:
        if self._closed:
            raise StoreUnavailable("the store was closed")
        try:
            return await self._api.call(method, path, body, urgent=operation == self._urgent)
        except NotSent as error:
            raise not_sent(self._server, error) from error
        except NotAnswered as error:
            raise not_answered(operation, error) from error

    def _collection(self, kind: str) -> str:
        return f"/apis/{API_VERSION}/namespaces/{quote(self._namespace, safe='')}/{plural(kind)}"

    def _object(self, kind: str, name: str) -> str:
        return f"{self._collection(kind)}/{object_name(name)}"

    def _operation(self, verb: str, kind: str) -> Operation:
        return Operation(verb, plural(kind), self._namespace)


def _understood(operation: Operation, answer: Answer, read: Callable[[Any], Read]) -> Read:
    """What a success says. One that says something else is none: who sent it was not the API server."""
    try:
        return read(json.loads(answer.body))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise not_answered(operation, NotAnswered("the answer is none of Kubernetes")) from error


def _selectors(session: str | None, name: str | None) -> str:
    selectors = []
    if name is not None:
        selectors.append("fieldSelector=" + quote(f"metadata.name={object_name(name)}", safe=""))
    if session is not None:
        selectors.append("labelSelector=" + quote(f"{SESSION_LABEL}={label_value(session)}", safe=""))
    return "?" + "&".join(selectors) if selectors else ""


def _refused_condition(operation: Operation, status: Status, what: str, version: int) -> Exception:
    if is_record_missing(status):
        return Conflict(f"{what} is gone")
    if is_version_conflict(status):
        return Conflict(f"{what} has another version than {version}")
    return refusal(operation, status)
