"""What a JSON value is worth in a typed column."""

from __future__ import annotations

import json
import math
import re
import sys
from collections.abc import Callable
from decimal import Decimal, InvalidOperation
from typing import Any, NoReturn

ASCII_SPACE = " \t\n\v\f\r"
NUMERAL = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
LONE_SURROGATE = re.compile("[\ud800-\udfff]")

Coercion = Callable[[Any], Any]


class NumberText(str):
    """A JSON number, as it was written."""

    __slots__ = ()


class UnfitValueError(ValueError):
    """The value has no counterpart in the column's type."""


class NotAnObjectError(ValueError):
    """The message is not one JSON object."""


class NotAnArrayError(ValueError):
    """The text is not one JSON array."""


def _refuse_constant(name: str) -> NoReturn:
    raise NotAnObjectError(f"{name} is no JSON")


_DECODER = json.JSONDecoder(parse_int=NumberText, parse_float=NumberText, parse_constant=_refuse_constant)


def parse_object(text: str) -> dict[str, Any]:
    """The one JSON object that the whole text is (blanks around it allowed); numbers stay `NumberText`, and of a name
    that comes twice the last holds. Raises NotAnObjectError for anything else."""
    try:
        parsed = _DECODER.decode(text)
    except (ValueError, RecursionError) as error:
        raise NotAnObjectError(str(error)) from error
    if not isinstance(parsed, dict):
        raise NotAnObjectError(f"a JSON {type(parsed).__name__}")
    return parsed


def parse_array(text: str) -> list[Any]:
    """The one JSON array that the whole text is (blanks around it allowed); numbers stay `NumberText`. Raises
    NotAnArrayError for anything else."""
    try:
        parsed = _DECODER.decode(text)
    except (ValueError, RecursionError) as error:
        raise NotAnArrayError(str(error)) from error
    if not isinstance(parsed, list):
        raise NotAnArrayError(f"a JSON {type(parsed).__name__}")
    return parsed


def integer(bits: int) -> Coercion:
    """To signed integers of that many bits, from numbers and numeric text that have no fraction."""
    low, high = -(1 << (bits - 1)), (1 << (bits - 1)) - 1

    def coerce(value: Any) -> int:
        number = _whole_number(_numeral(value))
        if not low <= number <= high:
            raise UnfitValueError(f"{value} is out of range")
        return number

    return coerce


def double(value: Any) -> float:
    """To finite doubles, from numbers and numeric text."""
    number = float(_numeral(value))
    if not math.isfinite(number):
        raise UnfitValueError(f"{value} is out of range")
    return number


def boolean(value: Any) -> bool:
    """Only JSON's own true and false."""
    if not isinstance(value, bool):
        raise UnfitValueError(f"{value!r} is not a boolean")
    return value


def text(value: Any) -> str:
    """From text and numbers (as written); half a surrogate pair, which UTF-8 can't hold, becomes `?`."""
    if not isinstance(value, str):
        raise UnfitValueError(f"{value!r} is not text")
    # Interned, as of millions of messages most hold the same few thousand names.
    return sys.intern(LONE_SURROGATE.sub("?", str(value)))


def _numeral(value: Any) -> str:
    if not isinstance(value, str):
        raise UnfitValueError(f"{value!r} is not a number")
    numeral = value.strip(ASCII_SPACE)
    if not NUMERAL.fullmatch(numeral):
        raise UnfitValueError(f"{value!r} is not a number")
    return numeral


def _whole_number(numeral: str) -> int:
    if len(numeral) < 20 and numeral.isdigit():
        return int(numeral)
    try:
        number = Decimal(numeral)
    except InvalidOperation as error:
        raise UnfitValueError(f"{numeral} is out of range") from error
    if number and (number.adjusted() > 20 or number.adjusted() < 0):
        raise UnfitValueError(f"{numeral} is out of range or has a fraction")
    whole = int(number)
    if whole != number:
        raise UnfitValueError(f"{numeral} has a fraction")
    return whole
