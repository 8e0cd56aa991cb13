"""One operation other than an acquisition: a request, repeated until the elector has answered it.

             ┌── not yet (a parked request) ────────┐
             v                                      │
    call ── send ───────────────────────────────────┤── answered ──> the answer
             ^                                      ├── 409 unknown_client: attach ──> send again
             └── pause, within the patience ────────┴── nothing, or "not now"

Requests may be repeated freely, because they carry the id of their operation or of their holder: the elector does it
once, and gives the same answer again. Whatever ends a call without an answer, be it an interrupt, gives up what the
elector may have kept of it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Generic, TypeVar, cast

from metaparticle_sync._answers import Refused
from metaparticle_sync._clock import now
from metaparticle_sync.errors import ElectorRefused, ElectorUnavailable, SyncError

if TYPE_CHECKING:
    from metaparticle_sync._keeper import Keeper
    from metaparticle_sync._waiting import Patience

Meaning = TypeVar("Meaning")

Explain = Callable[[Refused], Exception | None]
"""Makes a refusal for good the error of the caller's primitive; None: it has none for it."""

GiveUp = Callable[[str, float], object]
"""Takes back what was sent in the name of a client, within so many seconds."""

_REQUEST_SECONDS_MIN = 0.05


def call_once(
    keeper: Keeper,
    patience: Patience,
    send: Callable[[str, float], Meaning],
    *,
    explain: Explain | None = None,
    give_up: GiveUp | None = None,
) -> Meaning:
    """Do one thing that needs no waiting, with a patience of its own. `send(client, timeout)` is one request.

    Raises:
        ElectorUnavailable: it was not answered within the patience; whether it was done is not known.
        ElectorRefused: the elector will never do it. Or the error that `explain` makes of the refusal.
    """
    call = _Call(keeper, patience, lambda client, _, timeout: send(client, timeout), explain, give_up, may_park=False)
    return cast("Meaning", call.run())


def call_parked(
    keeper: Keeper,
    patience: Patience,
    send: Callable[[str, float, float], Meaning | None],
    *,
    explain: Explain | None = None,
    give_up: GiveUp | None = None,
) -> Meaning | None:
    """Wait for something at the elector. `send(client, wait_seconds, timeout)` is one request; its None: not yet.

    Returns None when the caller's time is over. What that means for the elector is for the caller to say: `give_up` is
    called only if this ends by an error.

    Raises:
        ElectorUnavailable: nothing is known, and the patience is at its end.
        ElectorRefused: the elector refused for good. Or the error that `explain` makes of the refusal.
    """
    return _Call(keeper, patience, send, explain, give_up, may_park=True).run()


class _Call(Generic[Meaning]):
    def __init__(
        self,
        keeper: Keeper,
        patience: Patience,
        send: Callable[[str, float, float], Meaning | None],
        explain: Explain | None,
        give_up: GiveUp | None,
        *,
        may_park: bool,
    ) -> None:
        self._keeper = keeper
        self._patience = patience
        self._send = send
        self._explain = explain
        self._give_up = give_up
        self._may_park = may_park
        self._client = ""
        """The client in whose name something was sent that the elector may have kept; none at first."""
        self._seen = 0

    def run(self) -> Meaning | None:
        try:
            return self._repeat()
        except BaseException as error:
            if self._client and self._give_up is not None:
                is_interrupted = not isinstance(error, SyncError)
                self._give_up(self._client, self._patience.give_up_seconds(interrupted=is_interrupted))
            raise

    def _repeat(self) -> Meaning | None:
        while True:
            try:
                answer = self._ask()
            except ElectorUnavailable as error:
                if not self._patience.failed(error):
                    return None
                continue
            except Refused as refusal:
                if not self._may_go_on(refusal):
                    return None
                continue
            self._patience.answered()
            if answer is not None or not self._may_park or self._patience.is_over():
                return answer

    def _ask(self) -> Meaning | None:
        keeper, patience = self._keeper, self._patience
        if not keeper.is_attached:
            keeper.attach(patience.attach_until())
            patience.met(keeper.heard_at)
        self._seen, self._client = keeper.attachments, keeper.client
        wait_seconds = patience.next_wait() if self._may_park else 0.0
        timeout = max(_REQUEST_SECONDS_MIN, patience.request_until(wait_seconds) - now())
        answer = self._send(self._client, wait_seconds, timeout)
        keeper.heard_at = now()
        return answer

    def _may_go_on(self, refusal: Refused) -> bool:
        """Attach again if the elector forgot us; a few times in a row, then it is as good as away.

        Raises:
            ElectorRefused, or the caller's own error: it was refused for good, so there is nothing to give up.
        """
        if refusal.code != "unknown_client":
            self._client = ""
            explained = self._explain(refusal) if self._explain is not None else None
            raise explained or ElectorRefused(str(refusal), code=refusal.code, status=refusal.status)
        self._keeper.detached(self._seen)
        url = self._keeper.address.url
        text = f"the elector at {url} is not available: it goes on refusing: {refusal}"
        return self._patience.stumbled(ElectorUnavailable(text, address=url))
