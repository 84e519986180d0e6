"""The documents say what is there: tables as declared, links that lead somewhere, commands that exist."""

from __future__ import annotations

import re
from itertools import takewhile
from pathlib import Path
from typing import Any

import pytest
import typer

from music_lakehouse.cli.main import app
from music_lakehouse.defs.catalog import TABLES
from music_lakehouse.docs.__main__ import PAGES
from music_lakehouse.docs.lineage import lineage_page
from music_lakehouse.docs.tables import tables_page

REPOSITORY = Path(__file__).parents[1]
COMMANDS: Any = typer.main.get_command(app)
ALWAYS = {"--help", "--debug"}
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
def test_commands_and_options_that_are_named_exist(document: Path) -> None:
    text = document.read_text()
    targets = set(re.findall(r"^([a-z-]+):", (REPOSITORY / "Makefile").read_text(), re.MULTILINE))

    assert not_there(text) == []
    assert set(re.findall(r"(?:^|`)make ([a-z-]+)", text, re.MULTILINE)) <= targets


def test_a_command_an_option_and_an_option_of_another_command_that_are_not_there_are_found() -> None:
    text = """
`music-lakehouse nothing`, and `music-lakehouse up --rate 5`, which has `--no-dashboard`, but no `--such`:

```
docker compose exec code music-lakehouse quarantine show --rate 5   # or --pipeline customers
music-lakehouse simulate nobody
```
"""
    assert not_there(text) == ["quarantine show --rate", "simulate nobody", "nothing", "--such"]


def not_there(text: str) -> list[str]:
    """Subcommands and options that a Markdown text names and `music-lakehouse` doesn't have. An option that stands by
    itself has to be of one of the commands that the text names, or of the soak's."""
    found: list[str] = []
    alone: list[str] = []
    options = {
        *ALWAYS,
        *re.findall(r'"(--[a-z-]+)"', (REPOSITORY / "music_lakehouse_tests/soak/__main__.py").read_text()),
    }
    for code in _code(text):
        alone += re.findall(r"^--[a-z][a-z-]*", code)
        for call in re.findall(r"(?<![\w./-])music-lakehouse +((?:(?!music-lakehouse ).)+)", code):
            path, has = _called(call.split())
            options |= has
            given = re.findall(r"(?<![\w-])--[a-z][a-z-]*", call)
            found += [" ".join([*path, option]) for option in given if option not in has] if has else [" ".join(path)]
    return [*found, *(option for option in alone if option not in options)]


def _called(words: list[str]) -> tuple[list[str], set[str]]:
    """The command that the words begin with, and its options: none where there is no such command."""
    command = COMMANDS
    path: list[str] = []
    for word in takewhile(re.compile(r"[a-z][a-z-]*$").match, words):
        if not hasattr(command, "commands"):
            break
        path.append(word)
        if word not in command.commands:
            return path, set()
        command = command.commands[word]
    return path, ALWAYS | {name for parameter in command.params for name in parameter.opts}


def _code(text: str) -> list[str]:
    """The lines of blocks of code, each with those that continue it, and what stands between backticks."""
    block = re.compile(r"^ *```.*?\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)
    lines = [line for part in block.findall(text) for line in re.sub(r"\\\n *", " ", part).splitlines()]
    return [*lines, *(" ".join(span.split()) for span in re.findall(r"`([^`]+)`", block.sub("", text)))]


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
