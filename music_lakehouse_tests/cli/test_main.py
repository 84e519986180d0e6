from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import typer

from music_lakehouse.cli.main import app
from music_lakehouse_tests.cli.conftest import Command, processor_seconds


def command_lines(command: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """The names of every command and subcommand, and of every group of these."""
    for name, sub in getattr(command, "commands", {}).items():
        yield (*path, name)
        yield from command_lines(sub, (*path, name))


ALL = sorted(command_lines(typer.main.get_command(app)))


def test_the_help_comes_in_under_a_second(process: Callable[..., subprocess.Popen[str]]) -> None:
    before = processor_seconds()
    out, _ = process("--help").communicate(timeout=30)

    assert "simulate" in out
    assert processor_seconds() - before < 1


@pytest.mark.parametrize("path", ALL, ids=" ".join)
def test_every_command_has_a_help_with_an_example(command: Command, path: tuple[str, ...]) -> None:
    ran = command(*path, "--help")

    assert ran.code == 0
    assert f"Example: music-lakehouse {' '.join(path)}" in ran.out


def test_without_a_command_there_is_the_help(command: Command) -> None:
    assert "Usage: music-lakehouse" in command().out


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("simulat",), "No such command 'simulat'. Did you mean 'simulate'?"),
        (("simulate", "--evnts", "3"), "--events"),
        (("simulate", "--dirty", "2"), "--dirty"),
        (("simulate", "--start", "yesterday"), "--start"),
        (("sql",), "statement"),
        (("broker",), "Missing command"),
        (("replay", "nowhere.jsonl"), "nowhere.jsonl"),
        (("accept-loss", "listens"), "there is no topic listens: topics are listen_events, page_view_events"),
    ],
)
def test_a_wrong_call_is_one_line_and_exit_code_2(command: Command, arguments: tuple[str, ...], told: str) -> None:
    ran = command(*arguments)

    assert ran.code == 2
    assert told in ran.error
    assert "--help` explains" in ran.error


@pytest.mark.parametrize("arguments", [("--debug", "sql", "SELEKT 1"), ("sql", "SELEKT 1", "--debug")])
def test_the_traceback_comes_with_debug_wherever_it_stands(command: Command, arguments: tuple[str, ...]) -> None:
    ran = command(*arguments)

    assert ran.code == 1
    assert "Traceback" in ran.err
    assert ran.err.splitlines()[-1].startswith("Error: ")
