"""Dagster as a part of `up`."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from music_lakehouse.cli import parts
from music_lakehouse.cli.dagster_home import prepare_home
from music_lakehouse.settings import Settings
from music_lakehouse.simulator.broker import free_port
from music_lakehouse.supervisor import program


def processes_of(command: str) -> list[psutil.Process]:
    def runs_it(process: psutil.Process) -> bool:
        # One may end meanwhile.
        with suppress(psutil.NoSuchProcess):
            return command in " ".join(process.cmdline())
        return False

    return [process for process in psutil.Process().children(recursive=True) if runs_it(process)]


@pytest.mark.slow
@pytest.mark.thorough
@pytest.mark.timeout(300)
def test_where_the_process_with_the_definitions_is_killed_dagster_is_not_well_and_started_again_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(program, "SECONDS_BETWEEN_QUESTIONS", 1.0)
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("LAKEHOUSE_ROOT", str(tmp_path / "lake"))
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", f"127.0.0.1:{free_port()}")
    prepare_home(Settings())
    dagster = parts.dagster(free_port(), log=tmp_path / "log", watched=True)

    def within(seconds: float, look: Callable[[], bool]) -> bool:
        deadline = time.monotonic() + seconds
        while not look() and time.monotonic() < deadline:
            time.sleep(0.5)
        return look()

    try:
        dagster.start()
        assert within(60, lambda: bool(processes_of("api grpc")))
        assert not within(10, lambda: not dagster.is_well())
        for process in processes_of("api grpc"):
            process.kill()
        assert within(90, lambda: not dagster.is_well())
        assert dagster.ending == "runs, but is not well"
        dagster.stop()
        assert processes_of("dagster") == []
        dagster.start()
        assert not within(15, lambda: not dagster.is_well())
    finally:
        dagster.stop()
