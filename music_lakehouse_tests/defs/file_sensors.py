"""A landing directory, and a sensor of its files, without Spark."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import dagster as dg
from pyspark.sql import SparkSession

from music_lakehouse.definitions import defs
from music_lakehouse.lakehouse.lake import Lake
from music_lakehouse.resources.build import build_resources
from music_lakehouse.settings import Settings


class SensedPlace:
    """A lake without Spark and a landing directory, and the sensor on them."""

    def __init__(self, root: Path, instance: dg.DagsterInstance, sensor: dg.SensorDefinition) -> None:
        self.instance, self.landing = instance, root / "landing"
        self.settings = Settings(lakehouse_root=str(root / "lake"), landing_root=self.landing)
        self._sensor = sensor
        self._cursor: str | None = None

    @property
    def lake(self) -> Lake:
        return Lake(self.settings.lake_uri, cast(SparkSession, None))

    def tick(self) -> dg.RunRequest | dg.SkipReason:
        with dg.build_sensor_context(
            self.instance,
            cursor=self._cursor,
            resources=build_resources(self.settings),
            repository_def=defs.get_repository_def(),
        ) as context:
            result = self._sensor(context)
            self._cursor = context.cursor
        assert isinstance(result, (dg.RunRequest, dg.SkipReason))
        return result


def requested(result: dg.RunRequest | dg.SkipReason) -> dg.RunRequest:
    assert isinstance(result, dg.RunRequest), result
    return result


def skipped(result: dg.RunRequest | dg.SkipReason) -> str:
    """Why nothing was asked for."""
    assert isinstance(result, dg.SkipReason), result
    return result.skip_message or ""
