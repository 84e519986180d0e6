"""Landed CSV files as rows of text, each line of a file in exactly one of them."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from io import StringIO

import pyarrow as pa
from pyarrow import csv as arrow_csv

from music_lakehouse.lakehouse.file_ingest import RESCUED, ROW_NUMBER, UnreadableFileError

# A line may not be longer.
_MOST_BYTES_A_LINE = 64 * 1024 * 1024
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


def csv_rows(content: bytes, columns: Sequence[str]) -> pa.Table:
    """The rows of a CSV file: UTF-8 (with a byte order mark or without), commas, a header with the columns' names in
    any order and case, double quotes around fields that hold commas, quotes (doubled) or line ends.

    Out: the columns as text as it stands, null where the file lacks a column; `row_number`, from 1 in the order of the
    file; `_rescued_data`, the line itself and then nothing else, where it has more or fewer fields than the header or
    a quote that is never closed. Blank lines are no rows, columns of other names are passed over, bytes that are not
    UTF-8 become U+FFFD. Raises UnreadableFileError where nothing can be read.
    """
    header, body = _header_and_body(_as_utf_8(content))
    body, unclosed = _cut_at_open_quote(body)
    good, rescued = _fields_and_misfits(body, header, columns)
    if unclosed:
        rescued.append((good.num_rows + len(rescued) + 1, unclosed.decode()))
    return _with_misfits(good, rescued)


def _as_utf_8(content: bytes) -> bytes:
    content = content.removeprefix(_BYTE_ORDER_MARK)
    try:
        content.decode()
    except UnicodeDecodeError:
        return content.decode(errors="replace").encode()
    return content


def _header_and_body(content: bytes) -> tuple[list[str], bytes]:
    """The names in the first line that isn't blank, and what comes after it."""
    start = end = 0
    while start < len(content):
        end = _end_of_line(content, start)
        if content[start:end].strip():
            break
        start = end
    # Without NUL, which Python 3.10's csv refuses.
    line = content[start:end].decode().rstrip("\r\n").replace("\0", "")
    try:
        names = next(csv.reader(StringIO(line, newline="")), [])
    except csv.Error as error:
        raise UnreadableFileError(f"its header can't be read: {error}") from error
    return [name.strip().lower() for name in names], content[end:]


def _end_of_line(content: bytes, start: int) -> int:
    """Behind the first line end after `start` that isn't in quotes, or the end of the content."""
    end = start
    while end < len(content):
        newline = content.find(b"\n", end)
        end = len(content) if newline < 0 else newline + 1
        if content.count(b'"', start, end) % 2 == 0:
            break
    return end


def _cut_at_open_quote(body: bytes) -> tuple[bytes, bytes]:
    """The body up to the line in which a quote is opened and never closed, and the rest."""
    if body.count(b'"') % 2 == 0:
        return body, b""
    start = end = 0
    is_open = False
    for line in body.split(b"\n"):
        end += len(line) + 1
        is_open ^= line.count(b'"') % 2 == 1
        if not is_open:
            start = end
    return body[:start], body[start:]


def _fields_and_misfits(
    body: bytes, header: Sequence[str], columns: Sequence[str]
) -> tuple[pa.Table, list[tuple[int, str]]]:
    """The rows with as many fields as the header, and the other lines with their places among all lines."""
    misfits: list[tuple[int, str]] = []
    if not body.strip():
        return pa.table({name: pa.nulls(0, pa.string()) for name in columns}), misfits

    def set_aside(row: arrow_csv.InvalidRow) -> str:
        misfits.append((row.number, row.text))
        return "skip"

    # Of a name that comes twice the last one counts.
    places = {name: str(place) for place, name in enumerate(header)}
    fields = [*places.values()]
    try:
        rows = arrow_csv.read_csv(
            pa.BufferReader(body),
            # With threads the rows' numbers aren't told.
            arrow_csv.ReadOptions(
                use_threads=False,
                block_size=min(len(body) + 1, _MOST_BYTES_A_LINE),
                column_names=[str(place) for place in range(len(header))],
            ),
            arrow_csv.ParseOptions(newlines_in_values=True, invalid_row_handler=set_aside),
            arrow_csv.ConvertOptions(
                column_types=dict.fromkeys(fields, pa.string()), include_columns=fields, strings_can_be_null=False
            ),
        )
    except pa.ArrowInvalid as error:
        raise UnreadableFileError(f"it can't be read as CSV: {error}") from error
    absent = pa.nulls(rows.num_rows, pa.string())
    return pa.table(
        {name: rows[places[name.lower()]] if name.lower() in places else absent for name in columns}
    ), misfits


def _with_misfits(good: pa.Table, misfits: Sequence[tuple[int, str]]) -> pa.Table:
    """The rows and the lines set aside, numbered by their places; blank ones, set aside too, are left out."""
    set_aside = {number for number, _ in misfits}
    lines = good.num_rows + len(misfits)
    numbers = pa.array((n for n in range(1, lines + 1) if n not in set_aside), pa.int64())
    rescued = [(number, text) for number, text in misfits if text.strip()]
    rows = good.append_column(ROW_NUMBER, numbers).append_column(RESCUED, pa.nulls(good.num_rows, pa.string()))
    lines_set_aside = pa.table(
        {
            **{name: pa.nulls(len(rescued), pa.string()) for name in good.column_names},
            ROW_NUMBER: pa.array((number for number, _ in rescued), pa.int64()),
            RESCUED: pa.array((text for _, text in rescued), pa.string()),
        }
    )
    return pa.concat_tables([rows, lines_set_aside])
