"""Landed JSON files as rows of text, each element of a file's array in exactly one of them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from typing import Any, NoReturn

import pyarrow as pa

from music_lakehouse.lakehouse.file_ingest import RESCUED, ROW_NUMBER

THE_FILE = 0
"""The `row_number` of the row that stands for a whole file: elements are numbered from 1."""

_BLANKS = re.compile(r"[ \t\n\r]*")


def json_rows(content: bytes, columns: Sequence[str]) -> pa.Table:
    """The rows of a JSON file: UTF-8, one array, over as many lines as it likes; a row an element.

    Out: the columns as text: text as it is, a number as it is written, anything else as JSON, null where the element
    lacks it; `row_number`, from 1; `_rescued_data`, the element as it stands in the file, where it is no object, or an
    object with other fields or with values that are neither number nor text. A file that is not one array is a single
    row with the number 0, whose `_rescued_data` is its text. An empty file has no rows. Of a name that comes twice in
    an object the last one counts; what UTF-8 can't hold becomes a question mark or U+FFFD.
    """
    try:
        text = content.decode()
        elements = _elements(text) if text.strip() else []
    except (ValueError, RecursionError):
        whole = pa.array([content.decode(errors="replace")], pa.string())
        return _table(columns, [{}], pa.array([THE_FILE], pa.int64()), whole)
    known = frozenset(columns)
    odd = {place for place, element in enumerate(elements) if not _is_plain(element, known)}
    rescued = pa.nulls(len(elements), pa.string())
    if odd:
        texts = [span if place in odd else None for place, span in enumerate(_spans(text))]
        rescued = pa.array(texts, pa.string())
    return _table(columns, elements, pa.array(range(1, len(elements) + 1), pa.int64()), rescued)


def _no_json(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no JSON")


# Numbers stay as they are written.
_DECODER = json.JSONDecoder(parse_int=str, parse_float=str, parse_constant=_no_json)


def _elements(text: str) -> list[Any]:
    found = _DECODER.decode(text)
    if not isinstance(found, list):
        raise ValueError(f"a JSON {type(found).__name__} is no array")
    return found


def _is_plain(element: Any, known: frozenset[str]) -> bool:
    """Whether the columns hold all of the element."""
    return isinstance(element, dict) and all(
        name in known and (value is None or isinstance(value, str)) for name, value in element.items()
    )


def _spans(text: str) -> Iterator[str]:
    """The text of each element of the one array that the text is."""
    place = _after_blanks(text, _after_blanks(text, 0) + 1)
    while text[place] != "]":
        _, end = _DECODER.raw_decode(text, place)
        yield text[place:end]
        place = _after_blanks(text, end)
        if text[place] == ",":
            place = _after_blanks(text, place + 1)


def _after_blanks(text: str, place: int) -> int:
    found = _BLANKS.match(text, place)
    return found.end() if found else place


def _table(columns: Sequence[str], elements: Sequence[Any], numbers: pa.Array, rescued: pa.Array) -> pa.Table:
    objects = [element if isinstance(element, dict) else {} for element in elements]
    values = {name: _as_text([each.get(name) for each in objects]) for name in columns}
    return pa.table({**values, ROW_NUMBER: numbers, RESCUED: rescued})


def _as_text(values: list[Any]) -> pa.Array:
    texts = [v if v is None or isinstance(v, str) else json.dumps(v, ensure_ascii=False) for v in values]
    try:
        return pa.array(texts, pa.string())
    except UnicodeEncodeError:
        # Half a surrogate pair, which JSON can write.
        return pa.array([v and v.encode(errors="replace").decode() for v in texts], pa.string())
