from __future__ import annotations

from pathlib import Path

import pytest

from music_lakehouse.lakehouse.locks import LakeLock
from music_lakehouse_tests.cli.conftest import Command


def test_forgetting_wants_to_be_told_yes(command: Command, lake: Path) -> None:
    ran = command("forget-user", "12")

    assert ran.code == 1
    assert f"This removes user 12 from all listening tables of {lake}" in ran.error


def test_people_of_other_pipelines_are_refused_with_what_to_do(command: Command, lake: Path) -> None:
    ran = command("forget-user", "12", "--pipeline", "catalogue", "--yes")

    assert ran.code == 2
    assert "people of catalogue can't be erased yet" in ran.error
    assert "music-lakehouse reset" in ran.error


def test_a_user_is_a_number(command: Command, lake: Path) -> None:
    assert command("forget-user", "Anna", "--yes").code == 2


def test_nobody_is_forgotten_while_a_run_holds_the_lake(
    command: Command, lake: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock = LakeLock(str(lake))
    lock.acquire("a run")
    patient = LakeLock.acquire
    monkeypatch.setattr(LakeLock, "acquire", lambda *given, **more: patient(*given, **{**more, "wait_seconds": 1.0}))
    try:
        ran = command("forget-user", "12", "--yes")
    finally:
        lock.release()

    assert ran.code == 1
    assert "the lake is held by" in ran.error
