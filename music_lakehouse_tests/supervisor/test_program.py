from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from music_lakehouse.supervisor import program
from music_lakehouse.supervisor.program import Program, ProgramError
from music_lakehouse_tests.waiting import eventually

pytestmark = pytest.mark.thorough

# Starts a child, says so, and says what it is told to end by.
PARENT = """
import os, pathlib, signal, subprocess, sys, time
said = pathlib.Path(sys.argv[1])
def end(number, frame):
    said.with_name("told").write_text(signal.Signals(number).name)
    sys.exit(0)
if sys.argv[2] == "deaf":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
else:
    signal.signal(signal.SIGTERM, end)
deaf = "import signal, time; signal.signal(15, signal.SIG_IGN); time.sleep(60)"
child = subprocess.Popen([sys.executable, "-c", deaf])
said.with_name("draft").write_text(f"{os.getpid()} {child.pid}")
said.with_name("draft").rename(said)
time.sleep(60)
"""


def parent(directory: Path, hearing: str = "hears", *, stop_seconds: float = 10.0) -> Program:
    """A program that has started once it and its child run."""
    said = directory / "processes"
    return Program(
        "the parent",
        [sys.executable, "-c", PARENT, str(said), hearing],
        log=directory / "log",
        answers=said.exists,
        start_seconds=20,
        stop_seconds=stop_seconds,
    )


def processes(directory: Path) -> list[psutil.Process]:
    return [psutil.Process(int(pid)) for pid in (directory / "processes").read_text().split()]


def gone(some: list[psutil.Process]) -> bool:
    return not any(process.is_running() and process.status() != psutil.STATUS_ZOMBIE for process in some)


def test_a_program_is_asked_to_end_and_what_is_left_of_its_group_is_killed(tmp_path: Path) -> None:
    program = parent(tmp_path)
    program.start()
    started = processes(tmp_path)
    assert program.is_well()
    program.stop()
    program.stop()
    assert not program.is_well()
    assert (tmp_path / "told").read_text() == "SIGTERM"
    eventually(lambda: gone(started), f"{started} should be gone")


def test_a_program_that_does_not_end_when_it_is_asked_to_is_killed(tmp_path: Path) -> None:
    program = parent(tmp_path, "deaf", stop_seconds=0.5)
    program.start()
    started = processes(tmp_path)
    program.stop()
    eventually(lambda: gone(started), f"{started} should be gone")


def test_a_program_that_is_killed_leaves_nothing_of_its_group_and_says_how_it_ended(tmp_path: Path) -> None:
    program = parent(tmp_path)
    program.start()
    started = processes(tmp_path)
    started[0].kill()
    eventually(lambda: not program.is_well(), "it was killed")
    assert program.ending == "ended by SIGKILL"
    eventually(lambda: gone(started), f"{started} should be gone")
    (tmp_path / "processes").unlink()
    program.start()
    assert program.is_well(), "it can be started again"
    program.stop()


def test_a_program_ends_with_the_process_that_started_it_even_if_that_is_killed(tmp_path: Path) -> None:
    starter = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import sys, time; from pathlib import Path\n"
            "from music_lakehouse_tests.supervisor.test_program import parent\n"
            "parent(Path(sys.argv[1])).start(); time.sleep(60)",
            str(tmp_path),
        ]
    )
    eventually((tmp_path / "processes").exists, "it starts")
    started = processes(tmp_path)
    os.kill(starter.pid, signal.SIGKILL)
    starter.wait()
    eventually(lambda: gone(started), f"{started} should be gone")


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a process of its parent's death")
def test_a_program_whose_keeper_is_killed_ends_too_and_can_be_started_again(tmp_path: Path) -> None:
    program = parent(tmp_path)
    keeper = program.launch()
    eventually((tmp_path / "processes").exists, "it starts")
    command, child = processes(tmp_path)

    keeper.kill()

    eventually(lambda: gone([command]), f"{command} should be gone")
    child.kill()
    assert not program.is_well()
    (tmp_path / "processes").unlink()
    program.start()
    program.stop()


def test_a_program_that_ends_while_it_starts_or_never_answers_is_said_with_its_log(tmp_path: Path) -> None:
    log = tmp_path / "log"
    ends = Program("Short", [sys.executable, "-c", "raise SystemExit(3)"], log=log, answers=lambda: False)
    with pytest.raises(ProgramError, match=f"Short ended with exit code 3 while it started: see {log}"):
        ends.start()
    silent = Program(
        "Silent",
        [sys.executable, "-c", "import time; time.sleep(60)"],
        log=log,
        answers=lambda: False,
        start_seconds=0.5,
    )
    with pytest.raises(ProgramError, match="Silent didn't answer within 0"):
        silent.start()
    assert not silent.is_well()


def test_a_program_that_says_three_times_in_a_row_that_it_is_not_well_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(program, "SECONDS_BETWEEN_QUESTIONS", 0.0)
    answers = iter([True, False, False, True, False, False, False])
    sleeping = Program("sleeper", ["sleep", "60"], log=tmp_path / "log", well=lambda: next(answers))
    sleeping.start()
    try:
        assert [sleeping.is_well() for _ in range(6)] == [True] * 6
        assert sleeping.ending == ""
        assert not sleeping.is_well()
        assert sleeping.ending == "runs, but is not well"
        sleeping.stop()
        monkeypatch.setattr(program, "SECONDS_BETWEEN_QUESTIONS", 60.0)
        sleeping.start()
        assert sleeping.is_well()
    finally:
        sleeping.stop()
