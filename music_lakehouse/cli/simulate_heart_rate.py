"""`music-lakehouse simulate heart-rate`: recordings of hearts as JSON files that land, and who the people are."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

import typer

from music_lakehouse.cli.console import say, size
from music_lakehouse.cli.progress import waiting

EXAMPLE = (
    "Example: music-lakehouse simulate heart-rate --files 24 --recordings 1000\n\n"
    "With faults in recordings and files: music-lakehouse simulate heart-rate --dirty 0.02"
)


def heart_rate(
    files: Annotated[int, typer.Option(min=1, max=100_000, help="Files that land.")] = 24,
    recordings: Annotated[int, typer.Option(min=1, max=10_000_000, help="Recordings in each file.")] = 1000,
    seed: Annotated[int, typer.Option(help="The same seed, start and landed files give the same bytes.")] = 1,
    dirty: Annotated[
        float,
        typer.Option(min=0, max=1, help="Share of recordings with a fault, as 0.02; above 0 also files with faults."),
    ] = 0.0,
    start: Annotated[
        datetime | None,
        typer.Option(
            help="The first recording, UTC; by default after the last one landed, or such that the last is now."
        ),
    ] = None,
) -> None:
    """Land recordings of heart rates as JSON files below LANDING_ROOT/heart_rate, and patient_info.csv.

    34 people, each recorded every five minutes. Called again, the recordings go on, and one more person is known.
    """
    from music_lakehouse.settings import Settings
    from music_lakehouse.simulator.heart_rate.config import HeartRateConfig
    from music_lakehouse.simulator.heart_rate.simulation import PATIENTS, land_heart_rates

    config = HeartRateConfig(files=files, recordings=recordings, seed=seed, dirty=dirty, start=start)
    with waiting("Landing heart rates"):
        landed = land_heart_rates(Settings().landing_root, config)
    directory = landed[0].parent
    total = sum(file.stat().st_size for file in landed)
    say(f"{len(landed)} files ({size(total)}) landed in {directory}, the last one {landed[-1].name}")
    say(f"The people are in {directory.parent / PATIENTS}; one more is recorded who is not in it yet")
