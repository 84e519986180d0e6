from __future__ import annotations

import re
import signal
import time
from pathlib import Path

import dagster as dg
import psutil
import pytest
import typer
from deltalake import DeltaTable, write_deltalake

from music_lakehouse.cli.dagster_home import CONFIGURATION
from music_lakehouse.cli.job_run import CheckSeen, JobRun, StepSeen
from music_lakehouse.cli.run import finish, show_end, step_lines
from music_lakehouse.lakehouse.locks import current_holder
from music_lakehouse.settings import TOPICS
from music_lakehouse.simulator.broker import EmbeddedBroker
from music_lakehouse_tests.cli.conftest import Ran
from music_lakehouse_tests.cli.place import Place

# A run of the pipeline in a new process, on a machine that is busy.
pytestmark = [pytest.mark.timeout(1200), pytest.mark.thorough]


@pytest.fixture(scope="module")
def ran_once(broker: EmbeddedBroker, tmp_path_factory: pytest.TempPathFactory) -> tuple[Place, Ran]:
    """A place in which 400 simulated events went through the pipeline, and what that run printed."""
    directory = tmp_path_factory.mktemp("place")
    settings = {"KAFKA_BOOTSTRAP_SERVERS": broker.bootstrap_servers, "KAFKA_TOPIC_PREFIX": f"{directory.name}-"}
    place = Place(directory, settings)
    simulated = place.run("simulate", "--events", "400", "--dirty", "0.1", "--seed", "5")
    assert simulated.code == 0, simulated.err
    return place, place.run("run", "streaming_pipeline")


@pytest.mark.spark
@pytest.mark.kafka
def test_a_run_shows_a_line_a_table_and_is_in_dagsters_instance(ran_once: tuple[Place, Ran]) -> None:
    place, ran = ran_once

    assert ran.code == 0, ran.err
    assert "streaming_pipeline succeeded in" in ran.out
    assert "DEBUG" not in ran.out + ran.err
    raw = DeltaTable(place.lake / "raw" / "listen_events")
    [line] = [line.split() for line in ran.out.splitlines() if line.startswith("raw.listen_events ")]
    assert line[1:5] == [f"{raw.count():,}", "rows", f"{raw.count():,}", "inserted"]
    home = place.directory / "data" / "dagster"
    assert (home / "dagster.yaml").resolve() == CONFIGURATION
    with dg.DagsterInstance.from_config(str(home)) as instance:
        [run] = instance.get_runs()
    assert (run.job_name, run.status) == ("streaming_pipeline", dg.DagsterRunStatus.SUCCESS)
    assert run.run_id in ran.out
    assert current_holder(str(place.lake)) is None


@pytest.mark.spark
@pytest.mark.kafka
def test_quarantine_is_counted_and_shown_with_its_reasons(ran_once: tuple[Place, Ran]) -> None:
    place, _ran = ran_once
    rows = DeltaTable(place.lake / "bronze" / "quarantine").to_pyarrow_table().to_pylist()
    views = [row for row in rows if row["topic"] == "page_view_events"]
    reason = views[0]["reasons"][0]

    listed = place.run("quarantine", "list")
    shown = place.run("quarantine", "show", "--topic", "page_view_events", "--reason", reason, "--limit", "500")

    assert f"{len(rows)} messages and rows are in quarantine" in listed.out
    with_reason = [row for row in views if reason in row["reasons"]]
    [line] = [line.split() for line in listed.out.splitlines() if "page_view_events" in line and f" {reason} " in line]
    assert line[:4] == ["streaming", "page_view_events", reason, str(len(with_reason))]
    assert shown.out.count("page_view_events") == len(with_reason)
    assert "auth_events" not in shown.out


@pytest.mark.spark
@pytest.mark.kafka
def test_the_audit_passes_and_names_a_law_that_is_broken(ran_once: tuple[Place, Ran]) -> None:
    place, _ran = ran_once

    whole = place.run("audit")
    popularity = DeltaTable(place.lake / "gold" / "artist_popularity")
    row = popularity.to_pyarrow_table().slice(0, 1)
    write_deltalake(popularity, row, mode="append")
    broken = place.run("audit")
    popularity.restore(popularity.version() - 1)

    assert whole.code == 0, whole.err
    assert "broken" not in whole.out
    assert len(re.findall(" holds ", whole.out)) > 20
    assert broken.code == 1
    lines = [line.split()[:3] for line in broken.out.splitlines() if line.startswith(" gold.artist_popularity")]
    assert ["gold.artist_popularity", "key_unique", "broken"] in lines
    assert ["gold.artist_popularity", "sum_is_facts", "broken"] in lines
    assert "2 of " in broken.out


@pytest.mark.spark
@pytest.mark.kafka
@pytest.mark.slow
def test_a_retry_of_quarantine_is_told_by_topic(ran_once: tuple[Place, Ran]) -> None:
    place, _ran = ran_once
    held = DeltaTable(place.lake / "bronze" / "quarantine").to_pyarrow_table()["topic"].to_pylist()

    ran = place.run("quarantine", "retry")

    assert ran.code == 0, ran.err
    for topic in TOPICS:
        [line] = [line.split() for line in ran.out.splitlines() if line.startswith(f" {topic} ")]
        assert line[1:] == [str(held.count(topic)), "0", str(held.count(topic))]
    assert current_holder(str(place.lake)) is None


@pytest.mark.spark
@pytest.mark.kafka
@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_run_that_is_interrupted_stops_spark_and_gives_the_lake_back(
    broker: EmbeddedBroker, tmp_path: Path, topic_prefix: str, number: signal.Signals
) -> None:
    settings = {"KAFKA_BOOTSTRAP_SERVERS": broker.bootstrap_servers, "KAFKA_TOPIC_PREFIX": topic_prefix}
    place = Place(tmp_path, settings)
    place.run("simulate", "--events", "400")

    running = place.start("run", "streaming_pipeline")
    assert running.stdout is not None
    first = running.stdout.readline()
    children = psutil.Process(running.pid).children(recursive=True)
    time.sleep(2)
    running.send_signal(number)
    out, err = running.communicate(timeout=120)

    assert " rows " in first
    assert running.returncode == 130, err
    assert "streaming_pipeline was stopped" in out
    assert "Traceback" not in err
    assert current_holder(str(place.lake)) is None
    assert not psutil.wait_procs(children, timeout=20)[1]
    with dg.DagsterInstance.from_config(str(tmp_path / "data" / "dagster")) as instance:
        [run] = instance.get_runs()
    assert run.status == dg.DagsterRunStatus.CANCELED


def test_a_job_that_is_not_there_is_a_wrong_call_that_names_the_jobs(tmp_path: Path) -> None:
    ran = Place(tmp_path, {}).run("run", "streaming")

    assert ran.code == 2
    assert re.search("there is no job streaming: jobs are .*audit.*streaming_pipeline", ran.error)


def test_an_option_of_another_job_is_a_wrong_call(tmp_path: Path) -> None:
    ran = Place(tmp_path, {}).run("run", "audit", "--full-refresh")

    assert ran.code == 2
    assert "audit has no such option: catalogue_pipeline has" in ran.error
    assert "--full-refresh" in ran.error


@pytest.mark.parametrize(
    ("job", "options"),
    [("catalogue_pipeline", ("--full-refresh",)), ("catalogue_key_scan", ("--allow-empty",))],
)
def test_without_a_database_the_catalogues_jobs_say_in_one_line_how_to_make_one(
    tmp_path: Path, job: str, options: tuple[str, ...]
) -> None:
    ran = Place(tmp_path, {"CATALOGUE_DATABASE_URL": ""}).run("run", job, *options)

    assert ran.code == 1
    assert f"there is no catalogue database {tmp_path}/data/catalogue.db" in ran.error
    assert "`music-lakehouse simulate catalogue` makes one" in ran.error
    with dg.DagsterInstance.from_config(str(tmp_path / "data" / "dagster")) as instance:
        [run] = instance.get_runs()
    option = options[0].removeprefix("--").replace("-", "_")
    assert f"'config': {{'{option}': True}}" in str(run.run_config)


def test_a_run_that_fails_says_of_what_and_ends_with_exit_code_1(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    ran = Place(tmp_path, {"LAKEHOUSE_ROOT": str(tmp_path / "file" / "lake")}).run("run", "streaming_pipeline")

    assert ran.code == 1
    assert "streaming_pipeline failed" in ran.out
    assert "cannot be written" in ran.err
    assert "Traceback" not in ran.err


def test_a_run_that_succeeds_with_an_error_found_by_a_check_ends_with_exit_code_1(
    capsys: pytest.CaptureFixture[str],
) -> None:
    def ended(*, is_error: bool) -> tuple[int, str]:
        check = CheckSeen("landing.x", "table_readable", "x is locked", False, is_error, rows=1, failed=1)
        done = JobRun("1", True, False, 2.0, [StepSeen("x", 0.0, checks=[check])], [])
        show_end("catalogue_pipeline", done)
        try:
            finish(done)
        except typer.Exit as end:
            return end.exit_code, capsys.readouterr().out
        return 0, capsys.readouterr().out

    assert ended(is_error=False) == (0, "catalogue_pipeline succeeded in 2.0 s; checks: 1 warned (run 1)\n")
    assert ended(is_error=True) == (1, "catalogue_pipeline ended with errors in 2.0 s; checks: 1 failed (run 1)\n")


def test_each_table_of_a_step_has_its_own_checks_and_seconds() -> None:
    def check(table: str, name: str, passed: bool) -> CheckSeen:
        return CheckSeen(table, name, f"{name} holds", passed, is_error=True, rows=1000, failed=0 if passed else 7)

    step = StepSeen(
        "dimensions",
        started=0.0,
        seconds=9.0,
        tables={
            "silver.dim_songs": {"dagster/row_count": 1200, "rows_inserted": 20, "duration_seconds": 1.5},
            "silver.dim_users": {"dagster/row_count": 30, "duration_seconds": 2.5},
        },
        checks=[
            check("silver.dim_users", "one_current_row", True),
            check("silver.dim_songs", "key_unique", False),
            check("silver.dim_songs", "key_not_null", True),
            check("silver.dim_artists", "elsewhere", False),
        ],
        outcome="done",
    )
    assert [" ".join(line.split()) for line, _style in step_lines(step)] == [
        "silver.dim_songs 1,200 rows 20 inserted 1/2 checks 1.5 s",
        "failed: key_unique: 7 of 1,000 rows (key_unique holds)",
        "silver.dim_users 30 rows nothing new 1/1 checks 2.5 s",
        "failed: elsewhere: 7 of 1,000 rows (elsewhere holds)",
    ]
