"""Labels, annotations and finalizers that others wrote on our objects, kept from each read to the next write.

A PUT writes a whole object, so whatever it leaves out is gone. What stood on the version that is written over came by
with that version: in the answer to a read or a write, or in an event of a watch. So keeping it costs no request. Should
it be forgotten after all, labels are lost. Without its finalizers, an object that is being deleted is lost with the
write, which is answered as a success all the same: `is_gone` tells.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from typing import Any, Final

from elector_server.store import Record
from elector_server.store.kubernetes_objects import SESSION_LABEL, to_record, version_of

REMEMBERED_MAX: Final = 4096
"""Objects with foreign metadata, of which most have none."""

_KEPT: Final = ("labels", "annotations")

_Metadata = dict[str, Any]


class ForeignMetadata:
    """What others wrote on the newest version of each object that this store handle has come across."""

    def __init__(self) -> None:
        self._of_object: OrderedDict[tuple[str, str], tuple[int, _Metadata]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._of_object)

    def see(self, kind: str, stored: Mapping[str, Any]) -> int:
        """Remember what stands on an object, and give its version."""
        key, version, foreign = (kind, stored["metadata"]["name"]), version_of(stored), _foreign(stored["metadata"])
        known = self._of_object.get(key)
        if known is not None and known[0] > version:
            return version
        self._of_object.pop(key, None)
        if foreign:
            self._of_object[key] = version, foreign
            if len(self._of_object) > REMEMBERED_MAX:
                self._of_object.popitem(last=False)
        return version

    def to_record(self, kind: str, stored: Mapping[str, Any], name: str | None = None) -> Record | None:
        """The record of an object, as `kubernetes_objects` has it, after a look at the object."""
        self.see(kind, stored)
        return to_record(kind, stored, name)

    def keep(self, kind: str, written: dict[str, Any]) -> dict[str, Any]:
        """The object to write, with what others wrote on the version that it is written over."""
        metadata = written["metadata"]
        version, foreign = self._of_object.get((kind, metadata["name"]), (0, {}))
        if str(version) == metadata["resourceVersion"]:
            for field, entries in foreign.items():
                metadata[field] = entries | metadata.get(field, {}) if field in _KEPT else entries
        return written

    def forget(self, kind: str, name: str) -> None:
        """The object of that name is gone."""
        self._of_object.pop((kind, name), None)


def _foreign(metadata: Mapping[str, Any]) -> _Metadata:
    """Everything but the session, of which we write both forms ourselves."""
    found = {field: dict(metadata.get(field) or {}) for field in _KEPT}
    for entries in found.values():
        entries.pop(SESSION_LABEL, None)
    finalizers = {"finalizers": metadata.get("finalizers")}  # We write none.
    return {field: entries for field, entries in (found | finalizers).items() if entries}


def is_gone(stored: Mapping[str, Any]) -> bool:
    """Whether what was written was removed by the very same write: it was being deleted, and no finalizer is left."""
    return "deletionTimestamp" in stored["metadata"] and not stored["metadata"].get("finalizers")
