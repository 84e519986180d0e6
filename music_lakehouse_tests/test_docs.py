"""The documents say what is there: tables as declared, links that lead somewhere, commands that exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import typer

from music_lakehouse.cli.main import app
from music_lakehouse.defs.catalog import TABLES
from music_lakehouse.docs import PAGE, tables_page

REPOSITORY = Path(__file__).parents[1]
DOCUMENTS = [REPOSITORY / "README.md", *sorted((REPOSITORY / "docs").glob("*.md"))]


def test_the_page_of_tables_is_what_the_declarations_give() -> None:
    assert PAGE.read_text() == tables_page(), "`python -m music_lakehouse.docs` writes the page anew"


def test_the_page_has_every_table_and_every_column() -> None:
    sections = {part.split("\n", 1)[0]: part for part in tables_page().split("\n### ")[1:]}

    assert set(TABLES) < set(sections)
    for name, table in TABLES.items():
        same = re.search(r"are those of `(.+)`", sections[name])
        section = sections[same[1] if same else name]
        assert [column.name for column in table.columns if f"| `{column.name}`" not in section] == []


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
