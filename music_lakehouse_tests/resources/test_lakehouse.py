from __future__ import annotations

from pathlib import Path

import dagster as dg
import pytest
from pyspark.sql import SparkSession

from music_lakehouse.lakehouse.locks import LakeLockedError, current_holder
from music_lakehouse.resources.lakehouse import LakehouseResource
from music_lakehouse.resources.spark import SparkResource
from music_lakehouse_tests.lakehouse.items import ITEMS


def resource(root: Path) -> LakehouseResource:
    return LakehouseResource(spark=SparkResource(master="local[2]"), root=str(root), lock_wait_seconds=0)


def test_light_reads_take_no_lock(tmp_path: Path) -> None:
    assert resource(tmp_path).paths.state(ITEMS) is None
    assert current_holder(str(tmp_path)) is None
    assert list(tmp_path.iterdir()) == []


@pytest.mark.spark
def test_a_run_holds_the_lake_from_its_first_use_to_its_end(spark: SparkSession, tmp_path: Path) -> None:
    del spark  # The resource takes the session that is there.
    held: list[str] = []

    @dg.op
    def write(lakehouse: LakehouseResource) -> None:
        assert current_holder(str(tmp_path)) is None
        assert lakehouse.lake.create(ITEMS)
        holder = current_holder(str(tmp_path))
        assert holder is not None
        held.append(holder.run_id)
        assert lakehouse.lake is lakehouse.lake
        with pytest.raises(LakeLockedError, match=holder.run_id):
            _ = resource(tmp_path).lake

    @dg.job(resource_defs={"lakehouse": resource(tmp_path)})
    def writing() -> None:
        write()

    result = writing.execute_in_process()
    assert held == [result.run_id]
    assert current_holder(str(tmp_path)) is None


def test_a_run_may_hold_the_lake_before_spark_starts(tmp_path: Path) -> None:
    @dg.op
    def hold(lakehouse: LakehouseResource) -> None:
        assert lakehouse.hold() is lakehouse.hold()
        assert current_holder(str(tmp_path)) is not None

    @dg.job(resource_defs={"lakehouse": resource(tmp_path)})
    def holding() -> None:
        hold()

    assert holding.execute_in_process().success
    assert current_holder(str(tmp_path)) is None


@pytest.mark.spark
def test_a_run_that_fails_gives_the_lake_back(spark: SparkSession, tmp_path: Path) -> None:
    del spark

    @dg.op
    def fail(lakehouse: LakehouseResource) -> None:
        lakehouse.lake.create(ITEMS)
        raise ValueError("broken")

    @dg.job(resource_defs={"lakehouse": resource(tmp_path)})
    def failing() -> None:
        fail()

    assert not failing.execute_in_process(raise_on_error=False).success
    assert current_holder(str(tmp_path)) is None
