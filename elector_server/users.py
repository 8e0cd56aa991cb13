"""Which clients use which semaphores, events, conditions and barriers.

An unnamed one belongs to the process that made it, whose client id is in its name. Its record goes when that process
and all that used it are gone; a maker that only passed it on counts from the moment at which it is known here. Of a
named one this says only whether a process is alone with it.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from elector_server.clients import Client

Used = tuple[str, str]
"""A kind and a name."""

USED_MAX: Final = 10_000
"""Names of one client that are remembered."""

_UNNAMED: Final = re.compile(r"unnamed-([0-9a-f]{32})-[0-9a-f]{32}")


def is_unnamed(name: str) -> bool:
    """Whether nobody chose this name."""
    return _UNNAMED.fullmatch(name) is not None


def maker_of(name: str) -> str | None:
    """The client id of the process that made an unnamed one."""
    found = _UNNAMED.fullmatch(name)
    return found[1] if found else None


class Users:
    """The users here of each name."""

    def __init__(self) -> None:
        self._known: set[str] = set()
        """The clients of now. A maker among them uses what it made, whether or not it has asked for it."""
        self._users: dict[Used, dict[str, None]] = {}
        self._used: dict[str, dict[Used, None]] = {}
        self._left: dict[Used, None] = {}
        """Unnamed ones that nobody uses, until it is found out whether that is so for good."""

    def come(self, client: Client) -> None:
        """The client is known."""
        self._known.add(client.id)

    def note(self, client: Client, kind: str, name: str) -> None:
        """This client uses it; so does its maker, as long as it is known here."""
        self._note(client.id, (kind, name))
        self._note_maker((kind, name))

    def _note_maker(self, used: Used) -> None:
        maker = maker_of(used[1])
        if maker in self._known:
            self._note(maker, used)

    def _note(self, client_id: str, used: Used) -> None:
        known = self._used.setdefault(client_id, {})
        if used not in known:
            known[used] = None
            self._users.setdefault(used, {})[client_id] = None
            if len(known) > USED_MAX:
                self._drop(client_id, next(iter(known)))

    def _drop(self, client_id: str, used: Used) -> bool:
        """Whether nobody is left who uses it."""
        self._used[client_id].pop(used, None)
        users = self._users.get(used, {})
        users.pop(client_id, None)
        if not users:
            self._users.pop(used, None)
        return not users

    def is_used(self, kind: str, name: str) -> bool:
        """Whether anybody here uses it."""
        self._note_maker((kind, name))
        return (kind, name) in self._users

    def use_unnamed(self) -> bool:
        """Whether anybody here uses one without a name, or did a moment ago."""
        return bool(self._left) or any(is_unnamed(name) for _, name in self._users)

    def is_alone(self, client: Client, kind: str, name: str) -> bool:
        """Whether nobody else here uses it."""
        return self._users.get((kind, name), {}).keys() <= {client.id}

    def gone(self, client: Client) -> list[Used]:
        """The client is gone. Gives what is unnamed and used by nobody any more; `is_left` says whether it stays so."""
        self._known.discard(client.id)
        dropped = [used for used in list(self._used.get(client.id, {})) if self._drop(client.id, used)]
        self._used.pop(client.id, None)
        left = [used for used in dropped if is_unnamed(used[1]) and not self.is_used(*used)]
        self._left.update(dict.fromkeys(left))
        return left

    def is_left(self, used: Used) -> bool:
        """Whether still nobody uses it: then it is over."""
        self._left.pop(used, None)
        return not self.is_used(*used)
