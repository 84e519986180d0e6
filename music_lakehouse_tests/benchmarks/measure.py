"""One measured process: `python -m music_lakehouse_tests.benchmarks.measure KIND ROOT`, told what to do line by line.

KIND is a job, or the name of a yardstick.

Each line on standard input is one piece of work, and each gives one line of JSON on standard output.
"""

from __future__ import annotations

import json
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import dagster as dg

from music_lakehouse.definitions import defs
from music_lakehouse.resources.build import build_resources
from music_lakehouse.resources.spark import SparkResource
from music_lakehouse.settings import Settings
from music_lakehouse_tests.benchmarks import yardsticks
from music_lakehouse_tests.benchmarks.spent import spent


def run_job(name: str, instance: dg.DagsterInstance, settings: Settings) -> dict[str, Any]:
    """One run of the job with all tables and checks: seconds in all and of each step, and what tables' steps spent
    theirs on."""
    started = time.monotonic()
    job = defs.resolve_job_def(name)
    result = job.execute_in_process(instance=instance, resources=build_resources(settings))
    seconds = time.monotonic() - started
    if not result.success:
        raise RuntimeError("the run failed")
    steps, spent_in = {}, {}
    for event in result.all_events:
        if event.event_type_value == "ASSET_MATERIALIZATION":
            said = event.step_materialization_data.materialization
            figures = {name: value.value for name, value in said.metadata.items()}
            if "duration_seconds" in figures:
                steps[".".join(said.asset_key.path)] = figures["duration_seconds"]
            if {"duration_seconds", "versions_written"} <= figures.keys():
                spent_in[".".join(said.asset_key.path)] = asdict(spent(figures))
    return {"seconds": seconds, "steps": steps, "spent": spent_in}


def main() -> None:
    kind, root = sys.argv[1], Path(sys.argv[2])
    started = time.monotonic()
    settings = Settings()
    # A session of our own is kept between runs, so that all but the first are warm.
    spark = SparkResource(master=settings.spark_master).spark_session
    with dg.DagsterInstance.ephemeral() as instance:
        for line in sys.stdin:
            if line.strip() == "first":
                begun = started
            elif line.strip() == "again":
                begun = time.monotonic()
            else:
                raise SystemExit(f"unknown order {line!r}: first, or again")
            if hasattr(yardsticks, kind):
                report = {"work": getattr(yardsticks, kind)(spark, settings, root)}
            else:
                report = run_job(kind, instance, settings)
            report["seconds"] = time.monotonic() - begun
            print(json.dumps(report), flush=True)


if __name__ == "__main__":
    main()
