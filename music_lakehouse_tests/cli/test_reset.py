from __future__ import annotations

import os
import pty
import subprocess
import sys
from pathlib import Path
from typing import cast

import pytest
from pyspark.sql import SparkSession

from music_lakehouse.dashboard.report import PATH
from music_lakehouse.defs.catalog import LANDED_PIPELINES, TABLES
from music_lakehouse.defs.catalogue.assets import SOURCES as CATALOGUE
from music_lakehouse.defs.customers.assets import SOURCES as CUSTOMERS
from music_lakehouse.defs.heart_rate.assets import RECORDINGS
from music_lakehouse.lakehouse.file_ingest import FileSource, ingest_files
from music_lakehouse.lakehouse.inventory import find_tables
from music_lakehouse.lakehouse.lake import Lake
from music_lakehouse.lakehouse.locks import LakeLock
from music_lakehouse_tests.cli.conftest import Command
from music_lakehouse_tests.defs.heart_rate.lakes import land as land_recordings
from music_lakehouse_tests.defs.heart_rate.lakes import recording
from music_lakehouse_tests.oracle.catalogue.examples import load, user
from music_lakehouse_tests.oracle.customers.examples import customer, land
from music_lakehouse_tests.waiting import lent

pytestmark = pytest.mark.thorough


def answered(place: Path, answer: str) -> tuple[int, str]:
    """Runs `reset` on a terminal and answers its question."""
    program = "import sys; from music_lakehouse.cli.main import main; sys.exit(main(['reset']))"
    terminal, inside = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-c", program],
        cwd=place,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])},
        stdin=inside,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    os.write(terminal, answer.encode())
    out, _ = process.communicate(timeout=30)
    os.close(terminal)
    os.close(inside)
    return process.returncode, out


def test_reset_removes_tables_and_checkpoints_and_leaves_what_is_not_its_own(command: Command, lake: Path) -> None:
    (lake / "_checkpoints" / "raw.listen_events" / "1").mkdir(parents=True)
    (lake / "gold" / "notes.txt").write_text("mine")
    report = lake / PATH
    report.parent.mkdir()
    report.write_text("what was listened to")

    ran = command("reset", "--yes")

    assert ran.code == 0
    assert f"Removed 3 tables of {lake}" in ran.out
    left = sorted(str(path.relative_to(lake)) for path in lake.rglob("*") if path.is_file())
    assert [name for name in left if not name.startswith("_lock")] == ["gold/notes.txt"]
    assert not (lake / "silver").exists()
    assert not (lake / "_checkpoints").exists()


def test_reset_asks_and_takes_no_for_an_answer(place: Path, lake: Path) -> None:
    code, out = answered(place, "n\n")

    assert code == 1
    assert f"This removes 3 tables of {lake}" in out
    assert (lake / "silver" / "dim_users").exists()


def test_reset_asks_and_takes_yes_for_an_answer(place: Path, lake: Path) -> None:
    code, _out = answered(place, "y\n")

    assert code == 0
    assert not (lake / "silver").exists()


def test_without_a_terminal_reset_wants_to_be_told_yes(command: Command, lake: Path) -> None:
    ran = command("reset")

    assert ran.code == 1
    assert "give --yes" in ran.error
    assert (lake / "gold" / "fact_streams").exists()


def test_while_a_run_holds_the_lake_nothing_is_removed(command: Command, lake: Path) -> None:
    lock = LakeLock(str(lake))
    lock.acquire("run-17")
    try:
        ran = command("reset", "--yes")
    finally:
        lock.release()

    assert ran.code == 1
    assert "held by run run-17" in ran.error
    assert (lake / "gold" / "fact_streams").exists()
    assert command("reset", "--yes").code == 0


def test_a_run_that_lends_the_lake_is_waited_for(command: Command, lake: Path) -> None:
    with lent(str(lake), "run-17"):
        ran = command("reset", "--yes")

    assert ran.code == 0, ran.err
    assert "Waiting for the lake, which is held by run run-17" in ran.err
    assert not (lake / "gold").exists()


@pytest.mark.parametrize(
    ("pipeline", "source"),
    [("customers", CUSTOMERS[TABLES["bronze.customer_raw"]]), ("heart_rate", RECORDINGS)],
    ids=lambda value: str(value) if isinstance(value, str) else "",
)
def test_one_pipeline_is_removed_and_everything_else_stays(
    command: Command, place: Path, lake: Path, pipeline: str, source: FileSource
) -> None:
    landing, own = place / "data" / "landing", LANDED_PIPELINES[pipeline]
    land(landing, "customer", "a.csv", 0, customer(1))
    land_recordings(landing, "a.json", recording(1, 0))
    written = Lake(str(lake), cast(SparkSession, None))
    ingest_files(written, source, landing)
    for table in own.values():
        written.create(table)
    for query in (source.table.full_name, "raw.listen_events"):
        (lake / "_checkpoints" / query).mkdir(parents=True)

    ran = command("reset", pipeline, "--yes")

    assert ran.code == 0, ran.err
    assert f"Removed {len(own)} tables of {lake}" in ran.out
    assert set(find_tables(str(lake))) == {
        "silver.dim_users",
        "gold.fact_streams",
        "metrics.positions",
        "metrics.files",
    }
    assert [path.name for path in (lake / "_checkpoints").iterdir()] == ["raw.listen_events"]
    assert ingest_files(Lake(str(lake), written.spark), source, landing).rows == 1, "taken again"
    assert "nothing to remove" not in command("reset", pipeline, "--yes").out
    typed = pipeline.replace("_", "-")
    assert f"no tables of {pipeline}: there is nothing to remove" in command("reset", typed, "--yes").out


@pytest.mark.usefixtures("lake")
@pytest.mark.parametrize(
    ("arguments", "said"),
    [(["songs"], "customers, heart_rate, catalogue can"), (["customers", "--broker"], "leave out")],
)
def test_what_cannot_be_removed_by_itself_is_said(command: Command, arguments: list[str], said: str) -> None:
    ran = command("reset", *arguments, "--yes")

    assert ran.code == 2
    assert said in ran.error


@pytest.mark.usefixtures("place")
def test_of_an_empty_lake_there_is_nothing_to_remove(command: Command) -> None:
    ran = command("reset", "--yes")

    assert ran.code == 0
    assert "nothing to remove" in ran.out


def test_a_lake_behind_a_uri_is_removed_too(command: Command, lake: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (lake / "_checkpoints" / "q").mkdir(parents=True)
    (lake / "_checkpoints" / "q" / "offsets").write_text("{}")
    monkeypatch.setenv("LAKEHOUSE_ROOT", lake.as_uri())

    assert command("reset", "--yes").code == 0

    assert not [path for path in lake.rglob("*") if path.is_file()]


def test_the_catalogues_tables_are_removed_and_its_files_are_taken_again(
    command: Command, place: Path, lake: Path
) -> None:
    landing = place / "data" / "landing"
    load(landing, "DimUser", 0, user(1, 0))
    own = LANDED_PIPELINES["catalogue"]
    source = CATALOGUE[own["bronze.catalogue_users"]]
    written = Lake(str(lake), cast(SparkSession, None))
    for table in own.values():
        written.create(table)
    ingest_files(written, source, landing)

    ran = command("reset", "catalogue", "--yes")

    assert f"Removed {len(own)} tables of {lake}" in ran.out
    assert not set(find_tables(str(lake))) & set(own)
    assert ingest_files(Lake(str(lake), written.spark), source, landing).rows == 1, "taken again"
