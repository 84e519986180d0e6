import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import psutil
import pytest
from dagster._core.launcher import LaunchRunContext, WorkerStatus

from music_lakehouse.instance.run_launcher import IMPORTED_BEFORE, PROCESS_TAG, ForkingRunLauncher
from music_lakehouse_tests.end_to_end.live import PROJECT
from music_lakehouse_tests.waiting import eventually

pytestmark = pytest.mark.thorough

SECONDS = 60
SAID = "said"
"""The tag with the file in which a run says who runs it."""


@dg.op
def says_who_runs_it(context: dg.OpExecutionContext) -> None:
    said = Path(context.run_tags[SAID])
    said.with_suffix(".draft").write_text(json.dumps({"pid": os.getpid(), "parent": os.getppid()}))
    said.with_suffix(".draft").rename(said)


@dg.op(ins={"start": dg.In(dg.Nothing)})
def waits() -> None:
    time.sleep(10 * SECONDS)


@dg.job(executor_def=dg.in_process_executor)
def short_job() -> None:
    says_who_runs_it()


@dg.job(executor_def=dg.in_process_executor)
def long_job() -> None:
    waits(start=says_who_runs_it())


class Runs:
    """Runs that the instance's launcher starts, and what their first step says of the process that it is in."""

    def __init__(self, instance: dg.DagsterInstance, said: Path) -> None:
        self.instance, self._said = instance, said
        launcher = instance.run_launcher
        assert isinstance(launcher, ForkingRunLauncher)
        self.launcher = launcher

    def create(self, job: dg.JobDefinition) -> dg.DagsterRun:
        origin = dg.reconstructable(job).get_python_origin()
        return self.instance.create_run_for_job(job_def=job, job_code_origin=origin, tags={SAID: str(self._said)})

    def start(self, job: dg.JobDefinition) -> tuple[str, dict[str, int]]:
        """The id of a new run of the job, and its process, once its first step runs."""
        self._said.unlink(missing_ok=True)
        run = self.create(job)
        self.launcher.launch_run(LaunchRunContext(run, None))
        eventually(self._said.exists, "its first step runs", SECONDS)
        return run.run_id, json.loads(self._said.read_text())

    def run(self, run_id: str) -> dg.DagsterRun:
        found = self.instance.get_run_by_id(run_id)
        assert found is not None
        return found

    def ended(self, run_id: str) -> dg.DagsterRun:
        eventually(lambda: self.run(run_id).is_finished, f"run {run_id} ends", SECONDS)
        return self.run(run_id)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runs]:
    home = tmp_path_factory.mktemp("dagster")
    (home / "dagster.yaml").write_text((PROJECT / "dagster.yaml").read_text())
    with dg.DagsterInstance.from_config(str(home)) as instance:
        yield Runs(instance, home / "said.json")


def test_each_run_has_a_process_of_its_own_forked_from_one_that_stays(runs: Runs) -> None:
    first_id, first = runs.start(short_job)
    second_id, second = runs.start(short_job)

    for run_id, process in ((first_id, first), (second_id, second)):
        run = runs.ended(run_id)
        assert run.status is dg.DagsterRunStatus.SUCCESS
        assert json.loads(run.tags[PROCESS_TAG])["pid"] == process["pid"]
    assert len({first["pid"], second["pid"], first["parent"], os.getpid()}) == 4
    assert first["parent"] == second["parent"]
    assert psutil.Process(first["parent"]).ppid() == os.getpid()


def test_a_run_whose_process_is_killed_has_failed_and_says_so(runs: Runs) -> None:
    run_id, process = runs.start(long_job)

    os.kill(process["pid"], signal.SIGKILL)

    assert runs.ended(run_id).status is dg.DagsterRunStatus.FAILURE
    told = [entry.user_message or entry.message for entry in runs.instance.all_logs(run_id)]
    assert any("was terminated by signal 9 (SIGKILL)" in text for text in told), told


def test_dagsters_next_daemon_sees_which_runs_have_a_process(runs: Runs) -> None:
    run_id, process = runs.start(long_job)
    with dg.DagsterInstance.from_ref(runs.instance.get_ref()) as daemon:

        def health(run: dg.DagsterRun) -> WorkerStatus:
            return daemon.run_launcher.check_run_worker_health(run).status

        run = runs.run(run_id)
        assert health(run) is WorkerStatus.RUNNING
        os.kill(process["pid"], signal.SIGKILL)
        runs.ended(run_id)
        assert health(run) is WorkerStatus.SUCCESS, "that it failed is known"

        forgotten = runs.create(long_job)
        daemon.add_run_tags(forgotten.run_id, {PROCESS_TAG: run.tags[PROCESS_TAG]})
        assert health(runs.run(forgotten.run_id)) is WorkerStatus.FAILED
        assert health(runs.create(long_job)) is WorkerStatus.RUNNING, "as one that a command started"


def test_a_run_is_terminated_from_another_process_of_dagsters(runs: Runs) -> None:
    run_id, process = runs.start(long_job)

    with dg.DagsterInstance.from_ref(runs.instance.get_ref()) as webserver:
        assert webserver.run_launcher.terminate(run_id)
        assert runs.ended(run_id).status is dg.DagsterRunStatus.CANCELED
        assert not webserver.run_launcher.terminate(run_id), "it has ended"
    eventually(lambda: not psutil.pid_exists(process["pid"]), "its process ends", SECONDS)


def test_a_later_process_of_the_same_number_is_left_alone(runs: Runs) -> None:
    run = runs.create(long_job)
    runs.instance.add_run_tags(run.run_id, {PROCESS_TAG: json.dumps({"pid": os.getpid(), "started": 1.0})})

    assert not runs.launcher.terminate(run.run_id)


def test_runs_end_with_the_process_of_dagsters_that_started_them(runs: Runs) -> None:
    run_id, process = runs.start(long_job)

    runs.launcher.dispose()

    assert not psutil.pid_exists(process["pid"])
    assert runs.ended(run_id).status in {dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED}


def test_code_of_another_python_is_left_to_dagsters_own_launcher(runs: Runs) -> None:
    run = runs.create(short_job)
    assert run.job_code_origin is not None
    repository = run.job_code_origin.repository_origin._replace(executable_path="/usr/bin/another-python")
    origin = run.job_code_origin._replace(repository_origin=repository)

    with pytest.raises(dg.DagsterInvariantViolationError, match="DefaultRunLauncher requires a workspace"):
        runs.launcher.launch_run(LaunchRunContext(run._replace(job_code_origin=origin), None))


def test_what_a_run_imports_of_others_is_imported_before() -> None:
    program = f"""
import importlib, sys
for name in {IMPORTED_BEFORE!r}:
    importlib.import_module(name)
before = set(sys.modules)
import music_lakehouse.definitions
print(*(name for name in set(sys.modules) - before if not name.startswith("music_lakehouse")))
"""
    done = subprocess.run([sys.executable, "-c", program], cwd=PROJECT, capture_output=True, text=True, check=True)
    # Aliases of a package, and parts that are registered by name.
    late = [name for name in sorted(done.stdout.split()) if not name.startswith(("requests.", "pygments."))]
    assert len(late) < 30, late
