"""How single values are made: keys, repaired text, instants."""

from __future__ import annotations

import hashlib
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from functools import cache
from typing import Any

Row = dict[str, Any]
Tables = dict[str, list[Row]]

EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
END_OF_TIME = datetime(9999, 12, 31, tzinfo=timezone.utc)
FIRST_MS, LAST_MS = -62_135_596_800_000, 253_402_300_799_999
HOUR_MS = 3_600_000


def java_double(number: float) -> str:
    """The number as Java's `Double.toString` writes it: plain between 1e-3 and 1e7, else like `1.0E-5`."""
    if number == 0 or 1e-3 <= abs(number) < 1e7:
        return repr(number)
    sign, digits, exponent = Decimal(repr(number)).as_tuple()
    assert isinstance(exponent, int), f"{number} is not finite"
    text = "".join(map(str, digits))
    return f"{'-' if sign else ''}{text[0]}.{text[1:].rstrip('0') or '0'}E{len(text) - 1 + exponent}"


def key(*parts: str | int | float | None) -> str:
    """md5 of the parts joined by `|`, a missing part as the empty text."""
    texts = ("" if part is None else java_double(part) if isinstance(part, float) else str(part) for part in parts)
    return hashlib.md5("|".join(texts).encode()).hexdigest()


@cache
def clean(text: str | None) -> str | None:
    """The text with UTF-8 read as Latin-1 repaired as often as that works, then without backslashes, and without
    spaces and double quotes at either end; None where nothing is left."""
    if text is None:
        return None
    while True:
        try:
            repaired = text.encode("latin-1").decode("utf-8")
        except UnicodeError:
            break
        if repaired == text:
            break
        text = repaired
    return text.replace("\\", "").strip(' "') or None


def instant(milliseconds: int) -> datetime:
    """The UTC instant of epoch milliseconds within the years 1 to 9999."""
    return EPOCH + timedelta(milliseconds=milliseconds)


def instant_or_none(milliseconds: int | None) -> datetime | None:
    """As `instant`; None for None and for what lies outside of the years 1 to 9999."""
    if milliseconds is None or not FIRST_MS <= milliseconds <= LAST_MS:
        return None
    return instant(milliseconds)
