"""How any text becomes a legal object name or label value, and stays readable.

    text                     object name
    nightly-report           nightly-report
    Nightly Report           nightly-report-nx53gz4bhlrf3jwvdevqbjbnfi
    (the sweeper's, empty)   sweeper-4oymiquy7qobjgx36tejs35zeq

A text that is legal as it stands is its own name. Any other becomes a slug and 128 bits of its digest, and so does a
legal one that looks as if it were made in this way: hence no two texts share a name. The original is in the record.
"""

from __future__ import annotations

import base64
import hashlib
import re
import unicodedata
from functools import lru_cache
from typing import Final

OBJECT_NAME_CHARACTERS_MAX: Final = 253
LABEL_CHARACTERS_MAX: Final = 63

_SLUG_CHARACTERS_MAX: Final = 36
_DIGEST_BYTES: Final = 16
_OBJECT_NAME: Final = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_LABEL: Final = re.compile(r"([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?")
_MADE_HERE: Final = re.compile(r"[a-z0-9][-a-z0-9]*-[a-z2-7]{26}")
_NOT_IN_SLUGS: Final = re.compile(r"[^a-z0-9]+")
_SLUG_OF_NOTHING: Final = "sweeper"
_SLUG_OF_NO_LETTERS: Final = "lock"


@lru_cache(maxsize=4096)
def object_name(text: str) -> str:
    """The object name of a text, by RFC 1123."""
    if len(text) <= OBJECT_NAME_CHARACTERS_MAX and _OBJECT_NAME.fullmatch(text) and not _MADE_HERE.fullmatch(text):
        return text
    return _slug_and_digest(text)


@lru_cache(maxsize=4096)
def label_value(text: str) -> str:
    """The label value of a text. Session ids are legal as they stand; empty stays empty."""
    if len(text) <= LABEL_CHARACTERS_MAX and _LABEL.fullmatch(text) and not _MADE_HERE.fullmatch(text):
        return text
    return _slug_and_digest(text)


def _slug_and_digest(text: str) -> str:
    ascii_text = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    slug = _NOT_IN_SLUGS.sub("-", ascii_text.lower()).strip("-")[:_SLUG_CHARACTERS_MAX].strip("-")
    return f"{slug or (_SLUG_OF_NO_LETTERS if text else _SLUG_OF_NOTHING)}-{_base32(text)}"


def _base32(text: str) -> str:
    digest = hashlib.sha256(text.encode(errors="surrogatepass")).digest()[:_DIGEST_BYTES]
    return base64.b32encode(digest).decode().rstrip("=").lower()
