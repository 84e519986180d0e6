"""One run of a Dagster job in this process, and what it did, as its events come."""

from __future__ import annotations

import logging
import signal
import time
import uuid
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import typer

from music_lakehouse.cli.dagster_home import prepare_home

if TYPE_CHECKING:
    import dagster as dg

    from music_lakehouse.settings import Settings

_INTERRUPTION = "DagsterExecutionInterruptedError"
# Dagster's own log on the console shows every event with its metadata.
_QUIET: Mapping[str, Any] = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


@dataclass(frozen=True)
class CheckSeen:
    """How a check of a table (`layer.table`) fared; an error stops what is downstream, a warning doesn't."""

    table: str
    name: str
    description: str
    passed: bool
    is_error: bool
    rows: int
    failed: int

    @property
    def broken(self) -> bool:
        return self.is_error and not self.passed


@dataclass
class StepSeen:
    """A step of the run: the tables that it wrote with their figures, its checks, its seconds, and how it ended; where
    it will be tried again, what it waits for."""

    name: str
    started: float
    seconds: float = 0.0
    tables: dict[str, dict[str, Any]] = field(default_factory=dict)
    checks: list[CheckSeen] = field(default_factory=list)
    outcome: str = ""
    waiting: str = ""


@dataclass(frozen=True)
class JobRun:
    """How a run ended. `errors` are its failed steps', a line each."""

    run_id: str
    success: bool
    interrupted: bool
    seconds: float
    steps: list[StepSeen]
    errors: list[str]

    @property
    def checks(self) -> list[CheckSeen]:
        return [check for step in self.steps for check in step.checks]

    @property
    def broken(self) -> list[CheckSeen]:
        """The checks that found an error. Where these stop nothing downstream, the run succeeds all the same."""
        return [check for check in self.checks if check.broken]

    @property
    def well(self) -> bool:
        """Whether the run succeeded and no check found an error."""
        return self.success and not self.broken

    @property
    def ending(self) -> str:
        """How it ended, in a word or two."""
        if self.well:
            return "succeeded"
        if self.interrupted:
            return "was stopped"
        return "ended with errors" if self.success else "failed"


def run_job(
    name: str,
    settings: Settings,
    on_step: Callable[[StepSeen], None],
    options: Collection[str] = (),
    *,
    tables: Collection[str] = (),
    on_line: Callable[[str], None] | None = None,
) -> JobRun:
    """Runs the job of that name in this process, with these of its options, or of it the given tables (`layer.table`)
    alone. `on_step` is called when a step begins (its outcome is empty), when it ends ("done", "failed", "skipped"),
    and when it waits to be tried again ("waiting"); `on_line` with what the run logs.

    The run, its events and its checks are in Dagster's instance as of any other run. Ctrl-C and SIGTERM end the run:
    Spark stops, and the lake's lock is given back. Raises a usage error where there is no such job, or it has no such
    option.
    """
    prepare_home(settings)
    import dagster as dg

    from music_lakehouse.definitions import defs
    from music_lakehouse.defs.catalogue.jobs import RUN_OPTIONS
    from music_lakehouse.defs.failures import step_errors

    names = job_names()
    if name not in names:
        raise typer.BadParameter(f"there is no job {name}: jobs are {', '.join(names)}", param_hint="JOB")
    config = {**_QUIET}
    for option in options:
        if name not in RUN_OPTIONS[option]:
            has = ", ".join(RUN_OPTIONS[option])
            raise typer.BadParameter(
                f"{name} has no such option: {has} has", param_hint=f"--{option.replace('_', '-')}"
            )
        config |= RUN_OPTIONS[option][name]
    run_id = str(uuid.uuid4())
    started = time.monotonic()
    with dg.DagsterInstance.get() as instance, _sigterm_as_ctrl_c():
        seen = _Seen(instance, on_step, on_line)
        instance.add_event_listener(run_id, seen.take)
        try:
            result = defs.resolve_job_def(name).execute_in_process(
                instance=instance,
                run_id=run_id,
                run_config=config,
                raise_on_error=False,
                asset_selection=[dg.AssetKey(table.split(".")) for table in tables] or None,
            )
            success = result.success
        except KeyboardInterrupt:
            success, seen.interrupted = False, True
        errors = [str(error) for error in step_errors(instance, run_id) if error.class_name != _INTERRUPTION]
    return JobRun(run_id, success, seen.interrupted, time.monotonic() - started, list(seen.steps.values()), errors)


def job_names() -> list[str]:
    """The names of all jobs."""
    from music_lakehouse.definitions import defs

    return sorted(job.name for job in defs.resolve_all_job_defs() if not job.name.startswith("__"))


def jobs_of(tables: Iterable[str]) -> dict[str, list[str]]:
    """The jobs that write the tables (`layer.table`), each with those of them that it writes; of several jobs that
    write a table the one that writes most."""
    import dagster as dg

    from music_lakehouse.definitions import defs

    writes = {name: set(defs.resolve_job_def(name).asset_layer.executable_asset_keys) for name in job_names()}
    jobs = sorted(writes, key=lambda name: -len(writes[name]))
    found: dict[str, list[str]] = {}
    for table in tables:
        job = next((name for name in jobs if dg.AssetKey(table.split(".")) in writes[name]), None)
        if job is not None:
            found.setdefault(job, []).append(table)
    return found


class _Seen:
    """Takes the run's events and keeps what its steps did."""

    def __init__(
        self,
        instance: dg.DagsterInstance,
        on_step: Callable[[StepSeen], None],
        on_line: Callable[[str], None] | None = None,
    ) -> None:
        self.steps: dict[str, StepSeen] = {}
        self.interrupted = False
        self._instance = instance
        self._on_step = on_step
        self._on_line = on_line

    def take(self, entry: dg.EventLogEntry) -> None:
        event = entry.dagster_event
        if event is None:
            if self._on_line is not None and isinstance(entry.level, int) and entry.level >= logging.INFO:
                self._on_line(entry.user_message)
            return
        self._look_for_interruption(entry.run_id, event)
        if event.step_key is None:
            return
        step = self.steps.setdefault(event.step_key, StepSeen(event.step_key, entry.timestamp))
        kind = event.event_type_value
        if kind == "STEP_START":
            step.started = entry.timestamp
        elif kind == "ASSET_MATERIALIZATION":
            materialization = event.step_materialization_data.materialization
            name = ".".join(materialization.asset_key.path)
            step.tables[name] = {key: value.value for key, value in materialization.metadata.items()}
        elif kind == "ASSET_CHECK_EVALUATION":
            step.checks.append(_check(event.asset_check_evaluation_data))
        elif kind == "STEP_UP_FOR_RETRY":
            data = event.step_retry_data
            cause = data.error.cause or data.error if data.error else None
            step.waiting = " ".join(cause.message.split()).partition(": ")[2] if cause else ""
        if kind in _OUTCOMES:
            step.outcome = _OUTCOMES[kind]
            step.seconds = entry.timestamp - step.started
            self._on_step(step)

    def _look_for_interruption(self, run_id: str, event: dg.DagsterEvent) -> None:
        """After Ctrl-C in a step the run is marked as being cancelled: else Dagster ends it as failed, and alerts."""
        error = getattr(event.event_specific_data, "error", None)
        if self.interrupted or error is None or error.cls_name != _INTERRUPTION:
            return
        self.interrupted = True
        run = self._instance.get_run_by_id(run_id)
        if run is not None and not run.is_finished:
            self._instance.report_run_canceling(run)


_OUTCOMES = {
    "STEP_START": "",
    "STEP_RESTARTED": "",
    "STEP_SUCCESS": "done",
    "STEP_FAILURE": "failed",
    "STEP_SKIPPED": "skipped",
    "STEP_UP_FOR_RETRY": "waiting",
}


def _check(evaluation: dg.AssetCheckEvaluation) -> CheckSeen:
    figures: dict[str, Any] = {key: value.value for key, value in evaluation.metadata.items()}
    return CheckSeen(
        table=".".join(evaluation.asset_key.path),
        name=evaluation.check_name,
        description=evaluation.description or "",
        passed=evaluation.passed,
        is_error=evaluation.severity.value == "ERROR",
        rows=int(figures.get("rows") or 0),
        failed=int(figures.get("failed") or 0),
    )


@contextmanager
def _sigterm_as_ctrl_c() -> Iterator[None]:
    """SIGTERM ends a run as Ctrl-C does, rather than the process at once."""
    before = signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
