"""Streams of a SQL database through all tables, and what 10,000 more cost after ten times as many:
`python -m music_lakehouse_tests.benchmarks.catalogue`. Options: --streams, --increments, --seed."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import tempfile
from pathlib import Path
from statistics import median

import dagster as dg

from music_lakehouse.lakehouse.database import Database
from music_lakehouse.resources.spark import SparkResource
from music_lakehouse.settings import Settings
from music_lakehouse.simulator.catalogue_database import Counted, change, fill
from music_lakehouse_tests.benchmarks.measure import platform

INCREMENT = 10_000
JOB = "catalogue_pipeline"


def measure(streams: int, increments: int, seed: int) -> dict[str, float]:
    """Seconds of the first load and of an increment after it, each with all tables and checks, in one session."""
    root = Path(tempfile.mkdtemp(prefix="music-lakehouse-bench-"))
    os.environ["CATALOGUE_DATABASE_URL"] = f"sqlite:///{root}/catalogue.db"
    settings = Settings(lakehouse_root=str(root / "lake"), landing_root=root / "landing")
    database = Database(settings.catalogue_database_url, setting="CATALOGUE_DATABASE_URL")
    fill(database, Counted(), streams=streams, seed=seed)
    spark = SparkResource(master=settings.spark_master)
    _ = spark.spark_session
    seconds = []
    with dg.DagsterInstance.ephemeral() as instance:
        for number in range(increments + 1):
            if number:
                change(database, Counted(), streams=INCREMENT, seed=seed)
            measured = platform(instance, settings, JOB)
            seconds.append(float(measured["seconds"]))
            print(f"{INCREMENT if number else streams:10,} streams {seconds[-1]:8.1f} s", flush=True)
    spark.close()
    shutil.rmtree(root)
    # Of the increments the second half: before, the JVM is still compiling.
    increment = median(seconds[1 + increments // 2 :])
    return {
        "streams": streams,
        "first_seconds": seconds[0],
        "rows_a_second": streams / seconds[0],
        "increment": increment,
    }


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--streams", type=int, nargs="+", default=[100_000, 1_000_000])
    arguments.add_argument("--increments", type=int, default=6)
    arguments.add_argument("--seed", type=int, default=1)
    options = arguments.parse_args()
    print(f"seed {options.seed}")
    measured = [measure(streams, options.increments, options.seed) for streams in options.streams]
    print(json.dumps(measured, indent=1))
    print(f"growth of an increment: {measured[-1]['increment'] / measured[0]['increment']:.2f}")


if __name__ == "__main__":
    main()
