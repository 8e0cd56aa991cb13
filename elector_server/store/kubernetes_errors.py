"""What the API server's refusals mean to the one who runs an elector, each with its own words and code.

status, reason                       raised             code
404 not a Status, or 405             StoreUnavailable   crd_missing
400 unknown field                    StoreUnavailable   crd_outdated
403 RBAC                             StoreUnavailable   store_forbidden
403 quota                            StoreUnavailable   quota_exceeded
webhook (refuses, is down), policy   StoreUnavailable   admission_refused
404, 403 of the namespace            StoreUnavailable   namespace_missing
401                                  StoreUnavailable   token_refused
413, etcd's limit                    StoreUnavailable   record_too_large
422                                  StoreUnavailable   record_refused
429                                  StoreUnavailable   api_busy
5xx, and whatever else is odd        OutcomeUnknown (of a write)   api_failing
no connection                        StoreUnavailable   api_unreachable, tls_failure
no answer                            OutcomeUnknown (of a write)   api_silent
"""

from __future__ import annotations

import json
import re
import shlex
import ssl
from collections.abc import Callable
from http import HTTPStatus
from typing import Any, Final, NamedTuple

from elector_server.store import OutcomeUnknown, StoreUnavailable
from elector_server.store.kubernetes_http import Answer, NotAnswered, NotSent

_INSTALL: Final = "kubectl apply -k deploy/"
_USER: Final = re.compile(r'User "([^"]*)"')
_ACCOUNT: Final = re.compile(r"system:serviceaccount:([^:]+:[^:]+)")
_NOBODY: Final = "system:anonymous"
_TOO_LARGE: Final = "request is too large"
_ADMISSION: Final = re.compile(r"(admission|calling) webhook|ValidatingAdmissionPolicy|admission plugin", re.IGNORECASE)
_TEXT_CHARACTERS_MAX: Final = 500
_CERTAIN: Final = frozenset({"record_too_large", "admission_refused"})
_WRITING_VERBS: Final = frozenset({"create", "update", "delete"})


class Operation(NamedTuple):
    """What was tried, in the words of RBAC."""

    verb: str
    plural: str
    namespace: str

    @property
    def writes(self) -> bool:
        """Whether it may have changed something."""
        return self.verb in _WRITING_VERBS

    def __str__(self) -> str:
        return f"{self.verb} {self.plural} in namespace {self.namespace}"


class Status(NamedTuple):
    """What the server says of a refusal. `is_status` is false for bare text, which no resource answered."""

    code: int
    reason: str
    message: str
    kind: str
    name: str
    is_status: bool

    @classmethod
    def of(cls, answer: Answer) -> Status:
        """Read a refusal."""
        body = _json(answer.body)
        if not isinstance(body, dict) or body.get("kind") != "Status":
            text = answer.body[:_TEXT_CHARACTERS_MAX].decode(errors="replace").strip()
            return cls(answer.status, "", text, "", "", is_status=False)
        return cls.of_object(body, answer.status)

    @classmethod
    def of_object(cls, body: dict[str, Any], code: int) -> Status:
        """Read a Status object, as a stream may also contain one."""
        details = body.get("details")
        details = details if isinstance(details, dict) else {}
        told = body.get("code")
        return cls(
            told if isinstance(told, int) and told else code,
            str(body.get("reason", "")),
            str(body.get("message", ""))[:_TEXT_CHARACTERS_MAX],
            str(details.get("kind", "")),
            str(details.get("name", "")),
            is_status=True,
        )


def is_record_missing(status: Status) -> bool:
    """Whether a 404 is about the one object; else it is about its namespace or the resource itself."""
    return status.code == HTTPStatus.NOT_FOUND and bool(status.name) and status.kind != "namespaces"


def is_version_conflict(status: Status) -> bool:
    """Whether a 409 is about the version. An admission webhook may refuse with any status, so with this one, too."""
    return status.code == HTTPStatus.CONFLICT and not _ADMISSION.search(status.message)


def refusal(operation: Operation, status: Status) -> StoreUnavailable:
    """The error for an answer that is neither success nor part of the store's protocol."""
    message, code = _meaning(operation, status)
    # Only a refusal of the request itself (4xx) says that nothing was done, be it a redirect or an odd success. A
    # webhook that is down and a record that etcd refuses are answered with 500, and nothing is stored all the same.
    if not 400 <= status.code < 500 and operation.writes and code not in _CERTAIN:
        return OutcomeUnknown(message, code)
    return StoreUnavailable(message, code)


def _meaning(operation: Operation, status: Status) -> tuple[str, str]:
    if _TOO_LARGE in status.message:
        return _too_large(operation, status)
    if _ADMISSION.search(status.message):
        return _admission(operation, status)
    return _MEANINGS.get(status.code, _failing)(operation, status)


def _token(_operation: Operation, _status: Status) -> tuple[str, str]:
    return (
        "the API server does not accept this elector's token: it has expired, or its pod or service account is gone;"
        " a new one is read as soon as it is there"
    ), "token_refused"


def _bad_request(operation: Operation, status: Status) -> tuple[str, str]:
    if "unknown field" not in status.message:
        return _invalid(operation, status)
    return (
        f"the custom resource definition of {operation.plural} is older than this elector ({status.message}):"
        f" update it with {_INSTALL} -n {operation.namespace}"
    ), "crd_outdated"


def _too_large(operation: Operation, status: Status) -> tuple[str, str]:
    return f"to {operation}: the record is larger than the API server takes ({status.message})", "record_too_large"


def _invalid(operation: Operation, status: Status) -> tuple[str, str]:
    return f"the API server refuses what the elector writes, to {operation}: {status.message}", "record_refused"


def _busy(_operation: Operation, status: Status) -> tuple[str, str]:
    return f"the API server is busy and asks for a pause ({status.message})", "api_busy"


def _failing(operation: Operation, status: Status) -> tuple[str, str]:
    return f"to {operation}: the API server answers {status.code} ({status.message or status.reason})", "api_failing"


def _forbidden(operation: Operation, status: Status) -> tuple[str, str]:
    if "being terminated" in status.message:
        return f"namespace {operation.namespace} is being deleted: nothing can be locked in it", "namespace_missing"
    if "exceeded quota" in status.message:
        return (
            f"a quota of namespace {operation.namespace} leaves no room for more {operation.plural}"
            f" ({status.message}): raise it, or delete what is in the way"
        ), "quota_exceeded"
    user = _USER.search(status.message)
    if user is None:
        return _admission(operation, status)
    return _missing_right(operation, user[1]), "store_forbidden"


def _missing_right(operation: Operation, user: str) -> str:
    if user == _NOBODY:
        return f"the kubeconfig gives no credentials, and nobody ({user}) may not {operation}: log in"
    return (
        f"{user} may not {operation}: bind the Role elector of deploy/ to it"
        f" ({_binding(user, operation.namespace)}), or choose the right namespace with --namespace"
    )


def _binding(user: str, namespace: str) -> str:
    """The commands that give somebody the Role. Its own RoleBinding is for the account `elector` next to it only."""
    install = f"{_INSTALL} -n {namespace}"
    account = _ACCOUNT.fullmatch(user)
    if account is not None and account[1] == f"{namespace}:elector":
        return install
    subject = f"--user={shlex.quote(user)}" if account is None else f"--serviceaccount={account[1]}"
    name = re.sub(r"[^a-z0-9]+", "-", (user if account is None else account[1]).lower()).strip("-")
    return f"{install}; kubectl create rolebinding elector-of-{name} --role=elector {subject} -n {namespace}"


def _admission(operation: Operation, status: Status) -> tuple[str, str]:
    return f"an admission rule of the cluster refuses to {operation}: {status.message}", "admission_refused"


def _not_found(operation: Operation, status: Status) -> tuple[str, str]:
    if status.kind == "namespaces":
        return (
            f"there is no namespace {operation.namespace}: make it, or choose another one with --namespace"
        ), "namespace_missing"
    return (
        f"the cluster has no custom resource definition of {operation.plural} (metaparticle.io/v1):"
        f" who administers it installs it with {_INSTALL} -n {operation.namespace}"
    ), "crd_missing"


_MEANINGS: Final[dict[int, Callable[[Operation, Status], tuple[str, str]]]] = {
    HTTPStatus.BAD_REQUEST: _bad_request,
    HTTPStatus.UNAUTHORIZED: _token,
    HTTPStatus.FORBIDDEN: _forbidden,
    HTTPStatus.NOT_FOUND: _not_found,
    HTTPStatus.METHOD_NOT_ALLOWED: _not_found,
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: _too_large,
    HTTPStatus.UNPROCESSABLE_ENTITY: _invalid,
    HTTPStatus.TOO_MANY_REQUESTS: _busy,
}


def not_sent(server: str, error: NotSent) -> StoreUnavailable:
    """The error for a request that never left."""
    cause = error.__cause__
    if isinstance(cause, ssl.SSLError):
        return StoreUnavailable(
            f"the certificate of the API server at {server} can not be trusted ({cause.reason or cause}): the access"
            " names another authority or another host name",
            "tls_failure",
        )
    return StoreUnavailable(f"the API server at {server} can not be reached: {error}", "api_unreachable")


def not_answered(operation: Operation, error: NotAnswered) -> StoreUnavailable:
    """The error for a request whose answer did not come."""
    message = f"to {operation}: no answer of the API server ({error})"
    return OutcomeUnknown(message, "api_silent") if operation.writes else StoreUnavailable(message, "api_silent")


def _json(text: bytes) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return None
