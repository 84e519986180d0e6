"""Dagster's run launcher for one machine: a run's process is forked from one that has imported what runs need.

By default a run's process starts from nothing, which costs three seconds of a processor before its first step; with a
run every quarter of a minute that is much of what the machine does. `dagster.yaml` names this launcher. Where Dagster's
parts are containers (docker-compose.yml, Helm), the default one or that of the platform starts the runs.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict
from multiprocessing.context import ForkServerProcess

import dagster as dg
import psutil
from dagster._core.launcher import CheckRunHealthResult, DefaultRunLauncher, LaunchRunContext, WorkerStatus
from dagster._grpc.types import ExecuteRunArgs
from dagster._serdes import ConfigurableClassData
from dagster._utils import get_run_crash_explanation

from music_lakehouse.lakehouse.processes import Process

# Ours are not among them: a run imports our modules itself, as they are when it starts, so that what is edited counts
# from the next run on.
IMPORTED_BEFORE = (
    "confluent_kafka.admin",
    "dagster._cli",
    "dagster._core.storage.event_log",
    "dagster._core.storage.runs",
    "dagster._core.storage.schedules",
    "dagster.components",
    "dagster_pyspark",
    "deltalake",
    "duckdb",
    "pandas",
    "psutil",
    "pyarrow.dataset",
    "pyarrow.parquet",
    "pydantic_settings",
    "pyspark.sql.connect.functions",
    "pyspark.sql.connect.session",
    "pyspark.sql.connect.streaming",
    "requests",
    "sqlalchemy.dialects.sqlite",
    "watchdog.observers",
)
# Runs that are asked to end with Dagster: less than whoever stops Dagster waits for all of it.
SECONDS_TO_END = 20.0
# The run's process, as JSON. Dagster hides tags of this prefix.
PROCESS_TAG = ".dagster/music_lakehouse_process"


class ForkingRunLauncher(DefaultRunLauncher):
    """Starts the runs of code that this Python runs, each in a process of its own, and those of other code locations as
    Dagster does by default.

    A run whose process dies is reported failed at once, or by the next daemon where the one that started it is gone;
    one that is terminated is interrupted, as by Ctrl-C. Runs are ended with Dagster's daemon, which starts them; where
    the daemon is killed, they go on to their end.
    """

    def __init__(self, inst_data: ConfigurableClassData | None = None) -> None:
        super().__init__(inst_data)
        # One a process of the daemon, started with its first run.
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload(list(IMPORTED_BEFORE))
        self._processes: dict[str, ForkServerProcess] = {}

    def launch_run(self, context: LaunchRunContext) -> None:
        run, origin = context.dagster_run, context.job_code_origin
        if origin is None or origin.repository_origin.executable_path != sys.executable:
            super().launch_run(context)
            return
        command = ExecuteRunArgs(job_origin=origin, run_id=run.run_id, instance_ref=self._instance.get_ref())
        arguments = command.get_command_args()
        process = self._context.Process(target=_execute, args=(arguments[arguments.index("api") :],))
        process.start()
        assert process.pid is not None
        self._processes[run.run_id] = process
        with suppress(psutil.NoSuchProcess):
            self._instance.add_run_tags(run.run_id, {PROCESS_TAG: json.dumps(asdict(Process.of(process.pid)))})
        threading.Thread(target=self._await_end, args=(run.run_id, process), daemon=True).start()

    def terminate(self, run_id: str) -> bool:
        """Interrupt the run's process, from whichever process of Dagster's; False where it has ended."""
        run = self._instance.get_run_by_id(run_id)
        if run is None or run.is_finished:
            return False
        if PROCESS_TAG not in run.tags:
            return bool(super().terminate(run_id))  # type: ignore[no-untyped-call]
        self._instance.report_run_canceling(run)
        process = _process_of(run)
        return process.alive and _interrupt(process.pid)

    @property
    def supports_check_run_worker_health(self) -> bool:
        return True

    def check_run_worker_health(self, run: dg.DagsterRun) -> CheckRunHealthResult:
        """What Dagster's daemon asks, now and then, of each run that it takes for started, also of those that another
        daemon started before it. Of runs that were started in another way it is not known, and they count as running.
        """
        if PROCESS_TAG not in run.tags or _process_of(run).alive:
            return CheckRunHealthResult(WorkerStatus.RUNNING)
        now = self._instance.get_run_by_id(run.run_id)
        if now is None or now.is_finished:
            return CheckRunHealthResult(WorkerStatus.SUCCESS)
        return CheckRunHealthResult(WorkerStatus.FAILED, f"The process of run {run.run_id} is gone: it was killed.")

    def dispose(self) -> None:
        """End the runs that this process started, and wait for them."""
        processes = list(self._processes.values())
        for process in processes:
            assert process.pid is not None
            _interrupt(process.pid)
        deadline = time.monotonic() + SECONDS_TO_END
        for process in processes:
            process.join(max(0.0, deadline - time.monotonic()))
            process.kill()

    def _await_end(self, run_id: str, process: ForkServerProcess) -> None:
        process.join()
        self._processes.pop(run_id, None)
        run = self._instance.get_run_by_id(run_id) if self.has_instance else None
        if run is None or run.is_finished:
            return
        assert process.exitcode is not None
        told = get_run_crash_explanation(f"The process of run {run_id}", process.exitcode)
        self._instance.report_engine_event(told, run, cls=type(self))
        self._instance.report_run_failed(run)


def _process_of(run: dg.DagsterRun) -> Process:
    return Process(**json.loads(run.tags[PROCESS_TAG]))


def _execute(arguments: Sequence[str]) -> None:
    """A run's process: the command of Dagster's that its other launchers start as a program."""
    from dagster._cli import cli

    cli(list(arguments))


def _interrupt(pid: int) -> bool:
    """Whether there was such a process."""
    try:
        os.kill(pid, signal.SIGINT)
    except ProcessLookupError:
        return False
    return True
