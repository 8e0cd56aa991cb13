"""Strict reading of JSON bodies: every refusal names the field, what it is, and what would be right.

Strict, because a client that mistypes a field must not get a lock under other terms than it thinks: unknown fields,
duplicate fields, NaN and numbers in the place of text are refused.
"""

from __future__ import annotations

import json
import math
from collections.abc import Collection
from typing import Any, Final, NoReturn

from elector_server.problems import BadBody, BadName, BadPath, UnsupportedMediaType
from metaparticle_sync import wire

Fields = dict[str, Any]

_SHOWN_CHARACTERS_MAX: Final = 80
_INCARNATION_CHARACTERS_MAX: Final = 64
_STREAM_CHARACTERS_MAX: Final = 64
_TOKEN_DIGITS_MAX: Final = 40


def parse_object(body: bytes, content_type: str | None, known: frozenset[str]) -> Fields:
    """The JSON object in `body`, with no other fields than the `known` ones.

    Raises:
        UnsupportedMediaType: the body declares another type.
        BadBody: it is no JSON, no object, or has unknown or duplicate fields.
    """
    if content_type is not None:
        _check_media_type(content_type)
    fields = _decoded(body)
    if not isinstance(fields, dict):
        raise BadBody(f"the body is {_kind(fields)}; send a JSON object with {_listed(known)}")
    if not fields.keys() <= known:
        _refuse_unknown(fields.keys() - known, known, "the body")
    return fields


def _check_media_type(content_type: str) -> None:
    media_type = content_type.partition(";")[0].strip().lower()
    if media_type != wire.JSON_TYPE:
        raise UnsupportedMediaType(media_type)


def _decoded(body: bytes) -> object:
    try:
        return _DECODER.decode(body.decode())
    except UnicodeDecodeError as error:
        raise BadBody(f"the body is no JSON: it is not UTF-8 (byte {error.start})") from error
    except json.JSONDecodeError as error:
        raise BadBody(f"the body is no JSON: {error}") from error
    except (RecursionError, ValueError) as error:
        raise BadBody("the body is no JSON that can be read: nested too deeply, or a number too long") from error


def _without_duplicates(pairs: list[tuple[str, Any]]) -> Fields:
    fields = dict(pairs)
    if len(fields) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise BadBody(f"field {_shown(twice)} stands twice in one object; send it once")
    return fields


def _no_constant(text: str) -> NoReturn:
    raise BadBody(f"the body is no JSON: {text} is no JSON number")


_DECODER: Final = json.JSONDecoder(object_pairs_hook=_without_duplicates, parse_constant=_no_constant)


def id_field(fields: Fields, name: str) -> str:
    """A required id: of a client, or of one acquisition."""
    value = _required(fields, name)
    if not wire.is_id(value):
        _refuse(name, value, f"{wire.HEX_ID_CHARACTERS} lower-case hexadecimal digits, fresh and random")
    return value  # type: ignore[no-any-return]


def wait_field(fields: Fields, name: str) -> float:
    """How long to wait; 0 if it is left out."""
    value = fields.get(name, 0)
    if type(value) not in {int, float} or not math.isfinite(value) or not 0 <= value <= wire.WAIT_SECONDS_MAX:
        _refuse(name, value, f"a number of seconds from 0 to {wire.WAIT_SECONDS_MAX:g}")
    return float(value)


def text_field(fields: Fields, name: str, characters_max: int) -> str:
    """A required text."""
    value = _required(fields, name)
    if not isinstance(value, str) or not 0 < len(value) <= characters_max or not _is_unicode(value):
        _refuse(name, value, f"a text of 1 to {characters_max} characters")
    return value


def incarnation_field(fields: Fields) -> str:
    """An incarnation of an elector's session; empty if it is left out."""
    return text_field(fields, "incarnation", _INCARNATION_CHARACTERS_MAX) if "incarnation" in fields else ""


def stream_field(fields: Fields, name: str) -> str | None:
    """The client's own address of its stream, or nothing."""
    value = fields.get(name)
    if value is None:
        return None
    if not isinstance(value, str) or not _is_socket_address(value):
        _refuse(name, value, 'null or an address and a port, such as "127.0.0.1:43210"')
    return value


def ids_field(fields: Fields, name: str) -> list[str]:
    """A list of ids; empty if it is left out."""
    return [_id_item(value, f"{name}[{index}]") for index, value in enumerate(list_field(fields, name))]


def list_field(fields: Fields, name: str) -> list[Any]:
    """A bounded list; empty if it is left out."""
    value = fields.get(name, [])
    if not isinstance(value, list) or len(value) > wire.HOLDS_MAX:
        _refuse(name, value, f"a list of at most {wire.HOLDS_MAX} entries")
    return value


def object_item(value: object, place: str, known: frozenset[str], optional: frozenset[str] = frozenset()) -> Fields:
    """One object of a list, with all of the `known` fields and no other than the `optional` ones."""
    if not isinstance(value, dict):
        _refuse(place, value, f"an object with {_listed(known)}")
    if not value.keys() <= known | optional:
        _refuse_unknown(value.keys() - known - optional, known | optional, place)
    for name in sorted(known - value.keys()):
        raise BadBody(f"field {name} of {place} is missing")
    return value


def metadata_field(fields: Fields, name: str) -> str:
    """A JSON object of the client's own, as compact text; empty if it is left out or empty."""
    value = fields.get(name)
    if not value and value in (None, {}):
        return ""
    right = f"an object of at most {wire.METADATA_CHARACTERS_MAX} characters as compact JSON"
    try:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    except (ValueError, RecursionError) as error:  # A number beyond all bounds became infinite, or it is nested deeply.
        raise BadBody(f"field {name} can not be stored as JSON: {error}") from error
    if not isinstance(value, dict) or len(text) > wire.METADATA_CHARACTERS_MAX or not _is_unicode(text):
        _refuse(name, value, right)
    return text


def choice_field(fields: Fields, name: str, choices: Collection[str]) -> str:
    """A required text out of a few."""
    value = _required(fields, name)
    if not isinstance(value, str) or value not in choices:
        _refuse(name, value, " or ".join(f'"{choice}"' for choice in choices))
    return value


def token_field(fields: Fields, name: str) -> int:
    """A token, which travels as decimal text because other languages' numbers end at 2**53."""
    value = _required(fields, name)
    if not isinstance(value, str) or not (value.isascii() and value.isdigit() and len(value) <= _TOKEN_DIGITS_MAX):
        _refuse(name, value, 'a decimal number as text, such as "123"')
    return int(value)


def count_field(fields: Fields, name: str, least: int, most: int) -> int:
    """A required whole number."""
    value = _required(fields, name)
    if type(value) is not int or not least <= value <= most:
        _refuse(name, value, f"a whole number from {least} to {most}")
    return int(value)


def optional_count_field(fields: Fields, name: str, least: int, most: int) -> int | None:
    """A whole number, or null; null if it is left out."""
    return None if fields.get(name) is None else count_field(fields, name, least, most)


def flag_field(fields: Fields, name: str) -> bool:
    """A required true or false."""
    value = _required(fields, name)
    if not isinstance(value, bool):
        _refuse(name, value, "true or false")
    return value


def optional_id_field(fields: Fields, name: str) -> str | None:
    """An id, or null; null if it is left out."""
    return None if fields.get(name) is None else id_field(fields, name)


def name_field(fields: Fields, name: str) -> str:
    """A required name of a primitive."""
    try:
        return wire.check_name(_required(fields, name))
    except (TypeError, ValueError) as error:
        raise BadBody(f"field {name}: {error}") from error


def name_in_path(text: str, collection: str = wire.LOCKS_PATH) -> str:
    """The name of a primitive, as it stood in the path.

    Raises:
        BadName: it can name nothing.
    """
    if not text:
        raise BadName(f"the path ends where the name should be: {collection}/<name>")
    try:
        return wire.check_name(text)
    except ValueError as error:
        raise BadName(str(error)) from error


def client_in_path(text: str) -> str:
    """A client's id, as it stood in the path.

    Raises:
        BadPath: it is no id.
    """
    if not wire.is_id(text):
        raise BadPath(
            f"{wire.SESSIONS_PATH}/{text}", f"a client is named by {wire.HEX_ID_CHARACTERS} lower-case hex digits"
        )
    return text


def _id_item(value: object, place: str) -> str:
    return id_field({place: value}, place)


def _required(fields: Fields, name: str) -> Any:
    try:
        return fields[name]
    except KeyError:
        raise BadBody(f"field {name} is missing") from None


def _refuse(name: str, value: object, right: str) -> NoReturn:
    raise BadBody(f"field {name} is {_shown(value)}; it must be {right}")


def _refuse_unknown(unknown: Collection[str], known: frozenset[str], place: str) -> NoReturn:
    listed = ", ".join(_shown(name) for name in sorted(unknown)[:5])
    raise BadBody(f"{place} has a field that is not known here: {listed}; possible: {_listed(known)}")


def _listed(names: frozenset[str]) -> str:
    return ", ".join(sorted(names))


def _shown(value: object) -> str:
    text = json.dumps(value)
    return text if len(text) <= _SHOWN_CHARACTERS_MAX else text[:_SHOWN_CHARACTERS_MAX] + "..."


def _kind(value: object) -> str:
    return {list: "a list", str: "a text", bool: "true or false", type(None): "null"}.get(type(value), "a number")


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _is_socket_address(text: str) -> bool:
    host, _, port = text.rpartition(":")
    return (
        len(text) <= _STREAM_CHARACTERS_MAX and bool(host) and port.isascii() and port.isdigit() and _is_unicode(host)
    )
