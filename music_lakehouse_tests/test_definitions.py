"""The whole graph as text, so that a change of it is a visible diff; how it loads; and what each asset says of itself.

UPDATE_DEFINITIONS=1 writes the text anew.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from music_lakehouse.definitions import defs

SNAPSHOT = Path(__file__).with_name("definitions.txt")
LOAD = """
import sys, time
from music_lakehouse.definitions import defs
defs.get_repository_def().load_all_definitions()
# Of the processor: it waits for nothing, and others may use the machine.
print(time.process_time())
import psutil
from pyspark import SparkContext
assert SparkContext._gateway is None, "a JVM was started"
assert not psutil.Process().children(recursive=True), psutil.Process().children(recursive=True)
"""


def described() -> Iterator[str]:
    """The definitions, a line each: assets with their group, sources and checks; jobs, schedules and sensors."""
    graph = defs.resolve_asset_graph()
    yield "assets and checks"
    for key in sorted(graph.get_all_asset_keys()):
        node = graph.get(key)
        sources = ", ".join(sorted(parent.to_user_string() for parent in node.parent_keys))
        yield f"  {key.to_user_string()} [{node.group_name}]" + (f" <- {sources}" if sources else "")
        for check in sorted(node.check_keys, key=lambda check: check.name):
            yield f"    {check.name}" + (" (blocking)" if graph.get_check_spec(check).blocking else "")
    repository = defs.get_repository_def()
    yield "jobs"
    for job in sorted(repository.get_all_jobs(), key=lambda job: job.name):
        if not job.name.startswith("__"):
            yield f"  {job.name}: {len(job.asset_layer.selected_asset_keys)} assets"
    yield "schedules"
    for schedule in sorted(repository.schedule_defs, key=lambda schedule: schedule.name):
        when = f"{schedule.cron_schedule} {schedule.execution_timezone}"
        yield f"  {schedule.name}: {schedule.job_name}, {when}, {schedule.default_status.value}"
    yield "sensors"
    for sensor in sorted(repository.sensor_defs, key=lambda sensor: sensor.name):
        every = f"{sensor.minimum_interval_seconds or 30} s"
        yield f"  {sensor.name}: every {every}, {sensor.default_status.value}"


def specs() -> list[dg.AssetSpec]:
    return sorted(defs.resolve_all_asset_specs(), key=lambda spec: spec.key)


def test_the_graph_is_the_one_that_was_agreed() -> None:
    text = "\n".join(described()) + "\n"
    if os.environ.get("UPDATE_DEFINITIONS"):
        SNAPSHOT.write_text(text)
    assert text == SNAPSHOT.read_text(), f"if this is meant: UPDATE_DEFINITIONS=1 writes {SNAPSHOT.name} anew"


def load_seconds() -> float:
    loaded = subprocess.run([sys.executable, "-c", LOAD], capture_output=True, text=True, check=False)
    assert loaded.returncode == 0, loaded.stderr[-2000:]
    return float(loaded.stdout)


@pytest.mark.thorough
def test_definitions_load_in_a_new_process_with_five_seconds_of_the_processor_and_start_no_jvm() -> None:
    seconds = load_seconds()
    print(f"loaded in {seconds} s")
    assert seconds < 5


@pytest.mark.parametrize("spec", specs(), ids=lambda spec: spec.key.to_user_string())
def test_an_asset_says_what_it_is_whose_it_is_and_what_its_columns_mean(spec: dg.AssetSpec) -> None:
    assert spec.description
    assert spec.owners
    assert spec.group_name
    assert spec.kinds
    if "deltalake" not in spec.kinds and "kafka" not in spec.kinds:
        return
    schema = spec.metadata["dagster/column_schema"]
    assert isinstance(schema, dg.TableSchema)
    assert schema.columns
    assert [column.name for column in schema.columns if not column.description] == []
