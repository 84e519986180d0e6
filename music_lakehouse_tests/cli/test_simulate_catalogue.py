from __future__ import annotations

import signal
import sqlite3
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from music_lakehouse_tests.cli.conftest import Command

pytestmark = pytest.mark.thorough


def streams(place: Path) -> int:
    database = sqlite3.connect(place / "data" / "catalogue.db")
    [(number,)] = database.execute("SELECT count(*) FROM FactStream").fetchall()
    database.close()
    return int(number)


@pytest.fixture(autouse=True)
def _default_database(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CATALOGUE_DATABASE_URL", raising=False)


def test_the_first_call_fills_and_the_next_ones_change(command: Command, place: Path) -> None:
    first = command("simulate", "catalogue", "--streams", "500")
    assert (first.code, streams(place)) == (0, 500)
    second = command("simulate", "catalogue", "--streams", "500", "--changes", "20")
    assert (second.code, streams(place)) == (0, 520)
    third = command("simulate", "catalogue", "--rounds", "3", "--changes", "20")
    assert (third.code, streams(place)) == (0, 580)

    [line] = [line for line in third.out.splitlines() if "FactStream" in line]
    assert line.split()[1:] == ["60", "0", "0"]
    assert f"new rows in sqlite:///{place}/data/catalogue.db" in third.out


def test_a_live_database_changes_until_ctrl_c(process: Callable[..., subprocess.Popen[str]], place: Path) -> None:
    running = process("simulate", "catalogue", "--streams", "100", "--changes", "5", "--live", "0.05")
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and not ((place / "data" / "catalogue.db").exists() and _grown(place)):
        time.sleep(0.1)
    running.send_signal(signal.SIGINT)
    out, err = running.communicate(timeout=30)

    assert running.returncode == 0, err
    assert "FactStream" in out
    assert streams(place) > 100


def _grown(place: Path) -> bool:
    try:
        return streams(place) > 100
    except sqlite3.OperationalError:
        return False


def test_a_database_that_does_not_answer_is_one_line_without_the_password(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CATALOGUE_DATABASE_URL", "postgresql://app:tr0ub4dor@127.0.0.1:1/music")
    ran = command("simulate", "catalogue", "--debug")

    assert ran.code == 1
    assert "the database postgresql://127.0.0.1:1/music does not answer" in ran.err
    assert "tr0ub4dor" not in ran.out + ran.err


@pytest.mark.usefixtures("place")
def test_live_and_rounds_exclude_each_other(command: Command) -> None:
    assert command("simulate", "catalogue", "--live", "1", "--rounds", "2").code == 2
