"""Records as custom resources, and back.

    Record                        object
    kind, name                    plural in the path; metadata.name, the original in spec.name
    version                       metadata.resourceVersion, a number that rises over all objects (KEP-5504)
    session                       the label metaparticle.io/session
    spec {"lease_seconds": 20}    spec {leaseSeconds: 20}

`spec.name` and what `kubernetes_columns` writes besides are no part of the record's spec.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, Final

from elector_server.store import Record, Spec
from elector_server.store.kubernetes_columns import for_people, without_those
from elector_server.store.kubernetes_names import label_value, object_name

GROUP: Final = "metaparticle.io"
API_VERSION: Final = "metaparticle.io/v1"
SESSION_LABEL: Final = "metaparticle.io/session"

PLURALS: Final = {
    "lock": "locks",
    "semaphore": "semaphores",
    "event": "events",
    "condition": "conditions",
    "barrier": "barriers",
    "session": "sessions",
}

# The original project renewed `expiry` every 10 s and took a lock over 30 s after the last renewal.
_ORIGINAL_LEASE_SECONDS: Final = 30.0

_UPPER: Final = re.compile(r"[A-Z]")
_UNDERSCORED: Final = re.compile(r"_([a-z])")


def plural(kind: str) -> str:
    """The kind as it stands in a path."""
    return PLURALS[kind]


def to_object(kind: str, name: str, session: str, spec: Spec, version: int | None = None) -> dict[str, Any]:
    """The object to write; with `version`, only over that version."""
    metadata: dict[str, Any] = {"name": object_name(name), "labels": {SESSION_LABEL: label_value(session)}}
    if metadata["labels"][SESSION_LABEL] != session:
        metadata["annotations"] = {SESSION_LABEL: session}
    if version is not None:
        metadata["resourceVersion"] = str(version)
    stored = _with_keys(spec, _camel_case)
    stored |= {"name": name} | for_people(kind, spec)
    return {"apiVersion": API_VERSION, "kind": kind.capitalize(), "metadata": metadata, "spec": stored}


def version_of(stored: Mapping[str, Any]) -> int:
    """The version of an object or of a list. Decimal since Kubernetes 1.35, and in practice long before."""
    return int(stored["metadata"]["resourceVersion"])


def to_record(kind: str, stored: Mapping[str, Any], name: str | None = None) -> Record | None:
    """The record of an object; None for one that somebody made by hand under a name that stands for no text.

    `name` is what was asked for, if one was: the object was found by it.
    """
    name = name_of(stored) if name is None else name
    if name is None:
        return None
    version = version_of(stored)
    spec = without_those(kind, _with_keys(stored.get("spec") or {}, _snake_case))
    spec.pop("name", None)
    metadata = stored["metadata"]
    if kind == "lock" and ("expiry" in spec or _is_made_by_hand(spec, metadata)):
        spec = _read_as_ours(spec, version)
    return Record(kind, name, version, session_of(metadata), spec)


def name_of(stored: Mapping[str, Any]) -> str | None:
    """What the user typed, as far as it agrees with the object's name."""
    found: str = stored["metadata"]["name"]
    for name in ((stored.get("spec") or {}).get("name"), found):
        if isinstance(name, str) and object_name(name) == found:
            return name
    return None


def session_of(metadata: Mapping[str, Any]) -> str:
    """The session that an object hangs on."""
    label: str = (metadata.get("labels") or {}).get(SESSION_LABEL, "")
    original: str = (metadata.get("annotations") or {}).get(SESSION_LABEL, label)
    return original if label_value(original) == label else label


def _is_made_by_hand(spec: Mapping[str, Any], metadata: Mapping[str, Any]) -> bool:
    """Whether neither an elector nor the original project wrote a lock: no session is named, in no form."""
    return "holder" not in spec and SESSION_LABEL not in (metadata.get("labels") or {})


def _read_as_ours(spec: dict[str, Any], version: int) -> dict[str, Any]:
    """A record that the original project or a person wrote last: each write counts as a session that nobody renews.

    Whoever waits finds no such session, and takes over when no other write came for as long as a lease. `expiry` says
    who wrote last: we never write it, the original always does, be it into a record with our queue.
    """
    session = f"original-{version}"
    return spec | {"holder": session, "session": session, "epoch": 0, "lease_seconds": _ORIGINAL_LEASE_SECONDS}


def _with_keys(value: Mapping[str, Any], rename: Callable[[str], str]) -> dict[str, Any]:
    return {rename(key): _renamed(inner, rename) for key, inner in value.items()}


def _renamed(value: Any, rename: Callable[[str], str]) -> Any:
    if isinstance(value, Mapping):
        return _with_keys(value, rename)
    if isinstance(value, (list, tuple)):
        return [_renamed(inner, rename) for inner in value]
    return value


# Few keys, and many of each: a record may have some thousand claimants, with the same keys each.
@lru_cache(maxsize=1024)
def _camel_case(key: str) -> str:
    return _UNDERSCORED.sub(lambda match: match[1].upper(), key) if "_" in key else key


@lru_cache(maxsize=1024)
def _snake_case(key: str) -> str:
    return _UPPER.sub(lambda match: "_" + match[0].lower(), key)
