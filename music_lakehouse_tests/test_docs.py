"""docs/tables.md is what the declarations give."""

from __future__ import annotations

import re

from music_lakehouse.defs.listening.catalog import TABLES
from music_lakehouse.docs import PAGE, tables_page


def test_the_page_of_tables_is_what_the_declarations_give() -> None:
    assert PAGE.read_text() == tables_page(), "`python -m music_lakehouse.docs` writes the page anew"


def test_the_page_has_every_table_and_every_column() -> None:
    sections = {part.split("\n", 1)[0]: part for part in tables_page().split("\n### ")[1:]}

    assert set(TABLES) < set(sections)
    for name, table in TABLES.items():
        same = re.search(r"are those of `(.+)`", sections[name])
        section = sections[same[1] if same else name]
        assert [column.name for column in table.columns if f"| `{column.name}`" not in section] == []
