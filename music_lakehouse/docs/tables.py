"""`docs/tables.md`: every table as its declaration, its rules and its checks describe it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from music_lakehouse.defs.catalog import CHECKS, RULES, TABLES
from music_lakehouse.lakehouse.broken_laws import BROKEN_LAWS
from music_lakehouse.lakehouse.expectations import EXPECTATIONS
from music_lakehouse.lakehouse.file_ledger import FILES
from music_lakehouse.lakehouse.kafka_positions import ACCEPTED_LOSS, ERASED, KAFKA_POSITIONS
from music_lakehouse.lakehouse.positions import POSITIONS
from music_lakehouse.lakehouse.stream_figures import STREAMING
from music_lakehouse.lakehouse.tables import Column, Table, table_and_column

PAGE = Path(__file__).parents[2] / "docs" / "tables.md"
BOOKKEEPING = (KAFKA_POSITIONS, ACCEPTED_LOSS, ERASED, FILES, POSITIONS, EXPECTATIONS, BROKEN_LAWS, STREAMING)
# A column that comes from more than this many is said to come from their tables.
_MOST_SOURCES = 2

INTRODUCTION = """\
# Tables

Generated from the declarations in `music_lakehouse/defs/` by `python -m music_lakehouse.docs`: edit those.

All are Delta tables at `<LAKEHOUSE_ROOT>/<layer>/<table>`, all timestamps are UTC. A column that is a "key of" others
is the md5 of these joined by `|`, a missing one as the empty text. In "cleaned" text, UTF-8 that was read as Latin-1 is
repaired, backslashes are removed, and blanks and double quotes at the ends are cut off. Checks look at what a run
touched, the job `audit` looks at everything; a check that stops keeps what is downstream from running, one that warns
does not. [lineage.md](lineage.md) draws which columns come from which. Masked views leave out columns marked †
(personal data) and hash those marked ‡ (pseudonyms of a person): [operations.md](operations.md#who-may-see-what).
"""


def tables_page() -> str:
    """The page as Markdown."""
    tables = [*TABLES.values(), *BOOKKEEPING]
    lines = [INTRODUCTION]
    described: dict[tuple[str, ...], str] = {}
    for layer in dict.fromkeys(table.layer for table in tables):
        lines.append(f"## {layer}\n")
        for table in tables:
            if table.layer == layer:
                lines.extend([f"### {table.full_name}\n", f"{table.description}\n"])
                body = tuple(_body(table))
                same = described.setdefault(body, table.full_name)
                lines.extend(body if same == table.full_name else [f"Key, columns and checks are those of `{same}`.\n"])
    return "\n".join(lines)


def _body(table: Table) -> Iterator[str]:
    """The key, the columns and the checks."""
    layout = f"Key: {_names(table.key)}."
    if table.partition_by:
        layout += f" Partitioned by {_names(table.partition_by)}."
    if table.contains_pii:
        layout += " Contains personal data (marked †)."
    yield f"{layout}\n"
    traced = any(column.sources for column in table.columns)
    header = ("column", "type", "meaning", *(["from"] if traced else []))
    yield _row(header)
    yield _row("---" for _ in header)
    for column in table.columns:
        mark = " †" if column.pii else " ‡" if column.pseudonym else ""
        yield _row(
            (f"`{column.name}`{mark}", column.type.lower(), column.comment, *([_sources(column)] if traced else []))
        )
    yield ""
    told = [*_rules(table), *_checks(table)]
    if told:
        yield _row(("check", "what has to hold", "otherwise"))
        yield _row(("---", "---", "---"))
        yield from told
        yield ""


def _rules(table: Table) -> Iterator[str]:
    for rule in RULES.get(table, ()):
        fate = f"quarantine; warns over {rule.threshold:.0%}"
        fate += f", stops over {rule.limit:.0%}" if rule.limit < 1 else ""
        yield _row((f"`{rule.name}`", rule.description, fate))


def _checks(table: Table) -> Iterator[str]:
    for check in CHECKS.get(table, ()):
        fate = "stops" if check.error else "warns"
        yield _row(
            (f"`{check.name}`", check.description, f"{fate} over {check.threshold:.0%}" if check.threshold else fate)
        )


def _sources(column: Column) -> str:
    if len(column.sources) <= _MOST_SOURCES:
        return _names(column.sources)
    tables: dict[str, list[str]] = {}
    for source in column.sources:
        of, name = table_and_column(source)
        tables.setdefault(of, []).append(name)
    same = len({tuple(names) for names in tables.values()}) == 1
    columns = next(iter(tables.values()))
    if same and len(tables) > 1:
        return f"{_names(columns)} of {_names(tables)}"
    return "; ".join(f"{_names(names)} of `{of}`" for of, names in tables.items())


def _names(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _row(cells: Iterable[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
