"""A program that runs beside this one, in a process group of its own, and never outlives it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path

SECONDS_BETWEEN_LOOKS = 0.2
# A program that runs is asked how it is, and given up after so many bad answers in a row.
SECONDS_BETWEEN_QUESTIONS = 15.0
BAD_ANSWERS = 3
_KEEPER = (sys.executable, "-m", "music_lakehouse.supervisor.keeper")
# What the keeper itself needs to kill what is left, and to be gone.
_SECONDS_TO_KILL = 10.0


class ProgramError(RuntimeError):
    """The program ended while it started, or didn't answer in time; the text says where its log is."""


class Program:
    """The command, run by a keeper: it ends with all of its process group at `stop`, and where this process ends,
    however it does.

    What it prints is appended to `log`, or goes where ours does where that is None. It has started once `answers` says
    so (default: at once). `environment` is the whole of it (default: this process's). It is stopped by `stop_signal`,
    and killed after `stop_seconds`. `well` is asked every quarter of a minute whether it is (default: while it runs).
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        *,
        log: Path | None,
        answers: Callable[[], bool] | None = None,
        environment: Mapping[str, str] | None = None,
        directory: Path | None = None,
        start_seconds: float = 120.0,
        stop_signal: signal.Signals = signal.SIGTERM,
        stop_seconds: float = 30.0,
        well: Callable[[], bool] | None = None,
    ) -> None:
        self.name = name
        self.log = log
        self._command = list(command)
        self._answers = answers
        self._environment = environment
        self._directory = directory
        self._start_seconds = start_seconds
        self._stop_signal = stop_signal
        self._stop_seconds = stop_seconds
        self._well = well
        self._bad_answers = 0
        self._next_question = 0.0
        self._keeper: subprocess.Popen[bytes] | None = None
        self._changing = threading.Lock()

    def start(self) -> None:
        """Start it, and return once it answers; nothing where it runs. Raises ProgramError where it ends meanwhile, or
        doesn't answer in time (and is stopped then)."""
        if self.is_well():
            return
        try:
            self._await_answer(self.launch())
        except BaseException:
            self.stop()
            raise

    def launch(self) -> subprocess.Popen[bytes]:
        """Start it, and return at once, with its keeper."""
        with self._changing, ExitStack() as stack:
            self._bad_answers = 0
            self._next_question = time.monotonic() + SECONDS_BETWEEN_QUESTIONS
            output = None
            if self.log is not None:
                self.log.parent.mkdir(parents=True, exist_ok=True)
                output = stack.enter_context(self.log.open("ab"))
            self._keeper = subprocess.Popen(
                [*_KEEPER, str(int(self._stop_signal)), str(self._stop_seconds), *self._command],
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=None if output is None else subprocess.STDOUT,
                cwd=self._directory,
                env=None if self._environment is None else dict(self._environment),
                start_new_session=True,
            )
            return self._keeper

    def is_well(self) -> bool:
        """Whether it runs, and wasn't said not to be well three times in a row."""
        if self._keeper is None or self._keeper.poll() is not None:
            return False
        if self._well is not None and time.monotonic() >= self._next_question:
            self._bad_answers = 0 if self._well() else self._bad_answers + 1
            self._next_question = time.monotonic() + SECONDS_BETWEEN_QUESTIONS
        return self._bad_answers < BAD_ANSWERS

    @property
    def ending(self) -> str:
        """How it ended, in a few words; empty where it runs well or never ran."""
        code = None if self._keeper is None else self._keeper.poll()
        if code is None:
            return "runs, but is not well" if self._bad_answers >= BAD_ANSWERS else ""
        number = -code if code < 0 else code - 128
        with suppress(ValueError):
            return f"ended by {signal.Signals(number).name}"
        return f"ended with exit code {code}"

    def stop(self) -> None:
        """End it, with everything in its process group; harmless where it doesn't run."""
        with self._changing:
            keeper = self._keeper
            if keeper is None:
                return
            assert keeper.stdin is not None
            keeper.stdin.close()
            try:
                keeper.wait(self._stop_seconds + _SECONDS_TO_KILL)
            except subprocess.TimeoutExpired:
                keeper.kill()
                keeper.wait()

    def _await_answer(self, keeper: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + self._start_seconds
        where = "" if self.log is None else f": see {self.log}"
        while self._answers is not None and not self._answers():
            if keeper.poll() is not None:
                raise ProgramError(f"{self.name} {self.ending} while it started{where}")
            if time.monotonic() >= deadline:
                raise ProgramError(f"{self.name} didn't answer within {self._start_seconds:.0f} s{where}")
            time.sleep(SECONDS_BETWEEN_LOOKS)


def environment(changes: Mapping[str, str | None]) -> dict[str, str]:
    """This process's environment with these variables set, or without those that are None."""
    kept = {name: value for name, value in os.environ.items() if name not in changes}
    return kept | {name: value for name, value in changes.items() if value is not None}
