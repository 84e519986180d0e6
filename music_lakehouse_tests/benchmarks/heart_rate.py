"""Files of 10,000 heart rates through all tables, and what one more file costs after ten times as many:
`python -m music_lakehouse_tests.benchmarks.heart_rate`. Options: --files, --increments, --seed."""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from statistics import median

import dagster as dg

from music_lakehouse.resources.spark import SparkResource
from music_lakehouse.settings import Settings
from music_lakehouse.simulator.heart_rate.config import HeartRateConfig
from music_lakehouse.simulator.heart_rate.simulation import land_heart_rates
from music_lakehouse_tests.benchmarks.measure import platform

RECORDINGS = 10_000
START = datetime(2025, 1, 1)
DIRTY = 0.01
JOB = "heart_rate_pipeline"


def measure(files: int, increments: int, seed: int) -> dict[str, float]:
    """Seconds of the loads and of an increment after a tenth of the files and after all of them, all in one warm
    session, each with all tables and checks."""
    root = Path(tempfile.mkdtemp(prefix="music-lakehouse-bench-"))
    settings = Settings(lakehouse_root=str(root / "lake"), landing_root=root / "landing")
    simulated = root / "simulated"
    config = HeartRateConfig(files=files + 2 * increments, recordings=RECORDINGS, seed=seed, dirty=DIRTY, start=START)
    land_heart_rates(simulated, config)
    waiting = sorted((simulated / "heart_rate" / "recordings").glob("*Z.json"))
    landing = settings.landing_root / "heart_rate" / "recordings"
    landing.mkdir(parents=True)
    shutil.copy2(simulated / "heart_rate" / "patient_info.csv", landing.parent)
    spark = SparkResource(master=settings.spark_master)
    _ = spark.spark_session
    tenth = files // 10
    with dg.DagsterInstance.ephemeral() as instance:

        def take(count: int) -> float:
            for file in [waiting.pop(0) for _ in range(count)]:
                shutil.copy2(file, landing)
            seconds = float(platform(instance, settings, JOB)["seconds"])
            print(f"{count:4} files {seconds:8.1f} s", flush=True)
            return seconds

        first = take(tenth)
        after_a_tenth = _settled([take(1) for _ in range(increments)])
        rest = take(files - tenth)
        after_all = _settled([take(1) for _ in range(increments)])
    spark.close()
    shutil.rmtree(root)
    return {
        "files": files,
        "first_seconds": first,
        "rest_seconds": rest,
        "rows_a_second": (files - tenth) * RECORDINGS / rest,
        "increment_after_a_tenth": after_a_tenth,
        "increment_after_all": after_all,
        "growth": after_all / after_a_tenth,
    }


def _settled(seconds: Sequence[float]) -> float:
    """The median of the second half: before, the JVM is still compiling."""
    return median(seconds[len(seconds) // 2 :])


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--files", type=int, default=100)
    arguments.add_argument("--increments", type=int, default=8)
    arguments.add_argument("--seed", type=int, default=1)
    options = arguments.parse_args()
    print(f"seed {options.seed}")
    print(json.dumps(measure(options.files, options.increments, options.seed), indent=1))


if __name__ == "__main__":
    main()
