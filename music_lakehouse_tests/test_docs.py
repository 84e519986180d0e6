"""The documents say what is there: tables as declared, links that lead somewhere, commands that exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import typer

from music_lakehouse.cli.main import app
from music_lakehouse.defs.catalog import TABLES
from music_lakehouse.docs.__main__ import PAGES
from music_lakehouse.docs.lineage import lineage_page
from music_lakehouse.docs.tables import tables_page

REPOSITORY = Path(__file__).parents[1]
DOCUMENTS = [REPOSITORY / "README.md", *sorted((REPOSITORY / "docs").glob("*.md"))]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_generated_page_is_what_the_declarations_give(page: Path) -> None:
    assert page.read_text() == PAGES[page](), "`python -m music_lakehouse.docs` writes the pages anew"


def test_the_page_has_every_table_and_every_column() -> None:
    sections = {part.split("\n", 1)[0]: part for part in tables_page().split("\n### ")[1:]}

    assert set(TABLES) < set(sections)
    for name, table in TABLES.items():
        same = re.search(r"are those of `(.+)`", sections[name])
        section = sections[same[1] if same else name]
        assert [column.name for column in table.columns if f"| `{column.name}`" not in section] == []


def test_every_column_of_silver_and_gold_is_drawn_with_each_that_it_comes_from() -> None:
    sections = {part.split("\n", 1)[0]: part for part in lineage_page().split("\n### ")[1:]}

    for name, table in TABLES.items():
        if table.layer in ("silver", "gold"):
            drawn = _edges(sections[name], name)
            assert drawn == {(source, column.name) for column in table.columns for source in column.sources}
            assert {column for _, column in drawn} == set(table.column_names)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: document.name)
def test_links_lead_to_files_and_headings_that_exist(document: Path) -> None:
    for link in re.findall(r"\]\(([^)]+)\)", document.read_text()):
        file, _, heading = link.partition("#")
        target = document.parent / file if file else document
        assert target.exists(), f"{link} leads nowhere"
        headings = {_anchor(line) for line in target.read_text().splitlines() if line[:1] == "#"} if heading else set()
        assert not heading or heading in headings, f"{link}: no such heading"


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: document.name)
def test_commands_that_are_named_exist(document: Path) -> None:
    text = document.read_text()
    commands = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    targets = set(re.findall(r"^([a-z-]+):", (REPOSITORY / "Makefile").read_text(), re.MULTILINE))

    assert set(re.findall(r"(?:^|`)music-lakehouse ([a-z][a-z-]*)", text, re.MULTILINE)) <= set(commands)
    assert set(re.findall(r"(?:^|`)make ([a-z-]+)", text, re.MULTILINE)) <= targets


def _anchor(heading: str) -> str:
    """A heading as GitHub makes it an anchor."""
    return re.sub(r"[^\w -]", "", heading.lstrip("# ").lower()).replace(" ", "-")


def _edges(section: str, table: str) -> set[tuple[str, str]]:
    """The edges of a picture of columns, from layer.table.column to the table's column."""
    columns: dict[str, list[str]] = {}
    tables = [""]
    edges: set[tuple[str, str]] = set()
    for line in section.splitlines():
        if names := re.search(r'names\d+\(\["(.+)"\]\)', line):
            tables = [f"{name}." for name in names[1].split("<br>")]
        elif "subgraph to" in line:
            assert table in line
            tables = [""]
        elif box := re.search(r'([st]\d+)\["(.+)"\]', line):
            columns[box[1]] = [f"{of}{name}" for of in tables for name in box[2].split("<br>")]
        elif edge := re.search(r"(s\d+) --> (t\d+)", line):
            edges |= {(source, target) for source in columns[edge[1]] for target in columns[edge[2]]}
    return edges
