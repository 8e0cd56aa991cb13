"""Whether an answer is the documented one, apart from what differs from run to run.

Times, tokens, addresses and the like have a form, and they have an identity: what the page shows twice as one value has
to be one value in the run, too, and tokens keep their order.
"""

from __future__ import annotations

import json
import re

_VARYING = {
    "time": r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z",
    "incarnation": r"\b[0-9a-f]{12}\.\d+\b",
    "token": r"\b\d{16}\b",
    "seconds": r'(?<="valid_seconds":)[\d.]+',
    "address": r"\b127\.0\.0\.1:\d+",
    "id": r'(?<="holder":")[0-9a-f]{8}(?=")',
}
_PATTERN = re.compile("|".join(f"(?P<{kind}>{pattern})" for kind, pattern in _VARYING.items()))

_VALID_SECONDS_MAX = 20 - 20 / 6


class Likeness:
    """Compares the answers of one run, in which the same documented value always stands for the same real one."""

    def __init__(self) -> None:
        self._meanings: dict[tuple[str, str], str] = {}

    def check(self, documented: str, real: str) -> None:
        """Raises AssertionError unless `real` is like `documented`."""
        documented, real = compact(documented), compact(real)
        assert _PATTERN.sub(_kind, documented) == _PATTERN.sub(_kind, real), f"documented: {documented}\nreal: {real}"
        for shown, found in zip(_PATTERN.finditer(documented), _PATTERN.finditer(real), strict=True):
            self._mean(str(shown.lastgroup), shown[0], found[0])

    def real(self, text: str) -> str:
        """`text` with each documented token that has a meaning already replaced by it."""
        return _PATTERN.sub(lambda match: self._meanings.get((str(match.lastgroup), match[0]), match[0]), text)

    def _mean(self, kind: str, shown: str, found: str) -> None:
        if kind == "seconds":
            assert 0 < float(found) <= _VALID_SECONDS_MAX, f"valid_seconds is {found}"
            return
        meant = self._meanings.setdefault((kind, shown), found)
        assert meant == found, f"the {kind} {shown} of the page is {found} here, and was {meant} before"
        if kind == "token":
            self._check_order()

    def _check_order(self) -> None:
        tokens = {shown: real for (kind, shown), real in self._meanings.items() if kind == "token"}
        real = [int(tokens[shown]) for shown in sorted(tokens)]
        assert real == sorted(set(real)), f"tokens are in another order than on the page: {tokens}"


def compact(text: str) -> str:
    """JSON as it is sent, on one line; any other text as it is."""
    try:
        return json.dumps(json.loads(text), ensure_ascii=False, separators=(",", ":"))
    except ValueError:
        return text.strip()


def _kind(match: re.Match[str]) -> str:
    return f"<{match.lastgroup}>"
