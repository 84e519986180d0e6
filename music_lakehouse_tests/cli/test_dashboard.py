"""`music-lakehouse dashboard` up to where Streamlit takes over; what is seen then is tested in a browser."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from music_lakehouse.cli.dashboard import command_line
from music_lakehouse_tests.cli.conftest import Command


@pytest.fixture
def replaced(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The command lines that this process would have become."""
    lines: list[list[str]] = []
    monkeypatch.setattr(os, "execv", lambda _, arguments: lines.append(arguments))
    return lines


@pytest.mark.usefixtures("lake")
def test_it_says_where_it_comes_up_and_becomes_streamlit(command: Command, replaced: list[list[str]]) -> None:
    ran = command("dashboard", "--port", "8765", "--state", "ca")

    assert ran.code == 0
    assert "http://127.0.0.1:8765" in ran.out
    assert "no tables" not in ran.err
    assert replaced == [command_line(8765, "CA")]


def test_without_a_lake_it_comes_up_and_says_what_makes_one(command: Command, replaced: list[list[str]]) -> None:
    ran = command("dashboard")

    assert ran.code == 0
    assert "has no tables yet: `make demo` makes them" in ran.err
    assert replaced == [command_line(8501, None)]


def test_streamlit_stays_on_the_loopback_and_sends_nothing_home() -> None:
    line = command_line(8501, None)

    assert {"--server.address=127.0.0.1", "--browser.gatherUsageStats=false"} < set(line)
    assert Path(line[line.index("run") + 1]).is_file()


def test_a_port_that_is_taken_is_said_at_once(command: Command, replaced: list[list[str]]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        ran = command("dashboard", "--port", str(taken.getsockname()[1]))

    assert ran.code == 1
    assert "already: choose another with --port" in ran.error
    assert replaced == []


def test_without_streamlit_it_says_what_installs_it(
    command: Command, replaced: list[list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("music_lakehouse.cli.dashboard.find_spec", lambda _: None)
    ran = command("dashboard")

    assert ran.code == 1
    assert "`make setup` installs it, or pip the extra music-lakehouse[dashboard]" in ran.error
    assert replaced == []


@pytest.mark.parametrize("state", ["California", "C", "12"])
def test_what_is_no_state_is_a_wrong_call(command: Command, replaced: list[list[str]], state: str) -> None:
    ran = command("dashboard", "--state", state)

    assert ran.code == 2
    assert f"{state} is no state: two letters name one, such as CA" in ran.error
    assert replaced == []


@pytest.mark.thorough
def test_neither_the_command_line_nor_the_definitions_load_streamlit() -> None:
    script = """
import sys
import music_lakehouse.cli.main
import music_lakehouse.definitions
assert not {"streamlit", "altair"} & set(sys.modules)
"""
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0
