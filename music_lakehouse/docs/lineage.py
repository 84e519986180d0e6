"""`docs/lineage.md`: pictures of which tables, and which columns, come from which, in Mermaid's language."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from music_lakehouse.defs.catalog import PIPELINES, TABLES
from music_lakehouse.lakehouse.tables import Table, table_and_column

PAGE = Path(__file__).parents[2] / "docs" / "lineage.md"
_DRAWN_LAYERS = ("silver", "gold")

INTRODUCTION = """\
# Lineage

Generated from the declarations in `music_lakehouse/defs/` by `python -m music_lakehouse.docs`. Columns that come from
the same columns share a box. Each asset carries the same as metadata (`dagster/column_lineage`), which Dagster+ draws;
the open-source UI draws the lineage of tables, and shows that of columns as text.
"""


def lineage_page() -> str:
    """The page as Markdown: for each pipeline its tables, then for each table of silver and gold its columns."""
    lines = [INTRODUCTION]
    for pipeline, tables in PIPELINES.items():
        lines.extend([f"## {pipeline}_pipeline\n", *_drawn(_tables(tables.values()))])
        for table in tables.values():
            if table.layer in _DRAWN_LAYERS:
                lines.extend([f"### {table.full_name}\n", *_drawn(_columns(table))])
    return "\n".join(lines)


def _tables(tables: Iterable[Table]) -> Iterator[str]:
    """An edge from each table to each that has columns of it."""
    for table in tables:
        sources = dict.fromkeys(table_and_column(source)[0] for column in table.columns for source in column.sources)
        for source in sources:
            if source in TABLES and source != table.full_name:
                yield f"{source} --> {table.full_name}"


def _columns(table: Table) -> Iterator[str]:
    """A box for each set of columns with the same origin and use, within the box of its tables, and their edges."""
    targets: dict[tuple[str, ...], list[str]] = {}
    for column in table.columns:
        targets.setdefault(column.sources, []).append(column.name)
    fed: dict[str, dict[str, list[int]]] = {}
    for number, sources in enumerate(targets):
        for source in sources:
            of, name = table_and_column(source)
            fed.setdefault(name, {}).setdefault(of, []).append(number)
    boxes: dict[tuple[str, tuple[int, ...]], list[str]] = {}
    for name, tables in fed.items():
        for numbers in dict.fromkeys(tuple(numbers) for numbers in tables.values()):
            alike = _listed(of for of, whose in tables.items() if tuple(whose) == numbers)
            boxes.setdefault((alike, numbers), []).append(name)

    for at, alike in enumerate(dict.fromkeys(alike for alike, _ in boxes)):
        # The names are a box of their own, as a title of several lines would lie over what is below it.
        yield f'subgraph from{at} [" "]'
        yield f"  names{at}([{alike}])"
        yield from (f"  s{box}[{_listed(names)}]" for box, ((of, _), names) in enumerate(boxes.items()) if of == alike)
        yield "end"
    yield f"subgraph to [{_listed([table.full_name])}]"
    yield from (f"  t{number}[{_listed(names)}]" for number, names in enumerate(targets.values()))
    yield "end"
    for box, (_, numbers) in enumerate(boxes):
        yield from (f"s{box} --> t{number}" for number in numbers)


def _drawn(lines: Iterable[str]) -> list[str]:
    return ["```mermaid", "flowchart LR", *(f"  {line}" for line in lines), "```\n"]


def _listed(names: Iterable[str]) -> str:
    return '"' + "<br>".join(names) + '"'
