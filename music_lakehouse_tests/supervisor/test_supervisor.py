from __future__ import annotations

import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import psutil
import pytest

from music_lakehouse.supervisor.program import Program, ProgramError
from music_lakehouse.supervisor.supervisor import State, Supervisor

pytestmark = pytest.mark.thorough

# Writes its name and process id behind those that started before, and when it is told to end, that it does.
SAYS = """
import os, signal, sys, time
def write(line):
    with open(sys.argv[1], "a") as file:
        print(line, file=file)
def end(*_):
    write(f"{sys.argv[2]} ends")
    sys.exit(0)
signal.signal(signal.SIGTERM, end)
write(f"{sys.argv[2]} {os.getpid()}")
time.sleep(60)
"""


def lines(directory: Path) -> list[list[str]]:
    file = directory / "lines"
    return [line.split() for line in file.read_text().splitlines()] if file.exists() else []


def pids(directory: Path, name: str) -> list[int]:
    return [int(what) for who, what in lines(directory) if who == name and what != "ends"]


def started_more_than(directory: Path, name: str, times: int) -> bool:
    return len(pids(directory, name)) > times


def program(directory: Path, name: str) -> Program:
    before = len(pids(directory, name))
    return Program(
        name,
        [sys.executable, "-c", SAYS, str(directory / "lines"), name],
        log=directory / f"{name}.log",
        answers=lambda: len(pids(directory, name)) > before,
        start_seconds=20,
    )


def eventually(look: Callable[[], bool], what: str, seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not look():
        assert time.monotonic() < deadline, what
        time.sleep(0.05)


def test_parts_are_started_in_order_and_stopped_in_reverse(tmp_path: Path) -> None:
    said: list[str] = []
    with Supervisor([program(tmp_path, name) for name in ("first", "second", "third")], said.append) as supervisor:
        assert [standing.state for standing in supervisor.standings.values()] == [State.RUNNING] * 3
    assert [who for who, what in lines(tmp_path) if what != "ends"] == ["first", "second", "third"]
    assert [who for who, what in lines(tmp_path) if what == "ends"] == ["third", "second", "first"]
    assert {standing.state for standing in supervisor.standings.values()} == {State.STOPPED}
    assert said == [f"{name} is up" for name in ("first", "second", "third")] + [
        f"Stopping {name} ..." for name in ("third", "second", "first")
    ]


def test_a_part_that_dies_is_started_again_later_each_time_and_that_is_said(tmp_path: Path) -> None:
    said: list[str] = []
    parts = [program(tmp_path, name) for name in ("steady", "mortal")]
    with Supervisor(parts, said.append, first_wait=1.0, longest_wait=60) as supervisor:
        waits = []
        for number in (1, 2):
            died = time.monotonic()
            psutil.Process(pids(tmp_path, "mortal")[-1]).kill()
            eventually(partial(started_more_than, tmp_path, "mortal", number), "it is started again")
            waits.append(time.monotonic() - died)
            eventually(lambda: supervisor.standings["mortal"].state is State.RUNNING, "it is up")
        assert waits[0] >= 1.0
        assert waits[1] >= 2.0
        standing = supervisor.standings["mortal"]
        assert (standing.restarts, standing.reason) == (2, "ended by SIGKILL")
        assert supervisor.standings["steady"].restarts == 0
    assert len(pids(tmp_path, "steady")) == 1
    assert [text for text in said if "again" in text] == [
        f"mortal ended by SIGKILL: it is started again in {seconds} s" for seconds in (1, 2)
    ]


def test_where_a_part_does_not_start_those_before_it_are_stopped_and_those_after_it_never_run(tmp_path: Path) -> None:
    broken = Program("broken", [sys.executable, "-c", "raise SystemExit(3)"], log=tmp_path / "log", answers=bool)
    parts = [program(tmp_path, "before"), broken, program(tmp_path, "after")]
    with pytest.raises(ProgramError, match="broken ended with exit code 3 while it started"):
        Supervisor(parts, lambda _: None).__enter__()
    (pid,) = pids(tmp_path, "before")
    assert not psutil.pid_exists(pid)
    assert pids(tmp_path, "after") == []


def test_a_part_that_is_being_started_again_is_stopped_too(tmp_path: Path) -> None:
    falls_silent = tmp_path / "falls silent"
    mute = Program(
        "mute",
        [sys.executable, "-c", SAYS, str(tmp_path / "lines"), "mute"],
        log=tmp_path / "log",
        answers=lambda: bool(pids(tmp_path, "mute")) and not falls_silent.exists(),
        start_seconds=60,
    )
    with Supervisor([mute], lambda _: None, first_wait=0.1) as supervisor:
        falls_silent.touch()
        psutil.Process(pids(tmp_path, "mute")[0]).kill()
        eventually(lambda: len(pids(tmp_path, "mute")) == 2, "it is started again, but doesn't answer")
        assert supervisor.standings["mute"].state is State.STARTING
        stopped = time.monotonic()
    assert time.monotonic() - stopped < 10
    assert not psutil.pid_exists(pids(tmp_path, "mute")[1])
