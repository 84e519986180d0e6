"""Spark and delta-rs on one lake in S3, as moto serves it."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

pytestmark = pytest.mark.spark

# In a process of its own: the jars and the store's address are settings with which a JVM starts.
WRITES = """
from music_lakehouse.lakehouse import delta
from music_lakehouse.lakehouse.lake import Lake
from music_lakehouse.lakehouse.streaming import drain, without_damage
from music_lakehouse.resources.spark import SparkResource
from music_lakehouse.settings import Settings
from music_lakehouse_tests.few_rows import FOR_FEW_ROWS
from music_lakehouse_tests.lakehouse.items import ITEMS, MONDAY, TUESDAY, items

resource = SparkResource(master="local[2]", spark_config=FOR_FEW_ROWS)
lake = Lake(Settings().lake_uri, resource.spark_session, resource.large_change_settings)
copy = f"{lake.root}/gold/copy"

def copied():
    stream = lake.spark.readStream.format("delta").load(lake.path(ITEMS)).writeStream.format("delta")
    drain(stream.option("checkpointLocation", without_damage(lake.checkpoint("gold.copy"))), copy)
    return sorted(row["id"] for row in delta.open_table(copy).to_pyarrow_table().to_pylist())

assert lake.create(ITEMS), "by delta-rs"
lake.append(items(lake.spark, (1, "a", MONDAY, 1.0), (2, "b", TUESDAY, 2.0)), ITEMS)
assert copied() == [1, 2]
lake.append(items(lake.spark, (3, "c", MONDAY, 3.0)), ITEMS)
assert copied() == [1, 2, 3], "the query goes on behind its checkpoint"

merge = f"MERGE INTO delta.`{lake.path(ITEMS)}` AS t USING (SELECT 2 AS id) AS s ON t.id = s.id"
lake.spark.sql(f"{merge} WHEN MATCHED THEN DELETE")
assert lake.rows(ITEMS) == 2
assert resource.sql_session().sql("SELECT id FROM silver.items ORDER BY id").collect() == [(1,), (3,)]
told = {str(row) for row in lake.spark.sql("SET").collect()}
told |= {str(setting) for setting in lake.spark.sparkContext.getConf().getAll()}
assert any("fs.s3a.endpoint" in setting for setting in told)
assert not [setting for setting in told if "anything" in setting], "the password is in no setting"
resource.close()
"""


@pytest.mark.slow
def test_what_one_of_them_writes_the_other_reads(bucket: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", WRITES],
        env={**os.environ, "LAKEHOUSE_ROOT": f"{bucket}/lake"},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert "anything" not in done.stdout + done.stderr
