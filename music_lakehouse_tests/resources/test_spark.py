from __future__ import annotations

import subprocess
import sys

import pytest
from pyspark.sql import SparkSession

from music_lakehouse.resources.spark import EXTENSION, SparkResource, driver_settings, session_settings

pytestmark = pytest.mark.spark

LIVES = """
from pyspark.sql import SparkSession
from music_lakehouse.resources.spark import SparkResource

resource = SparkResource(master="local[1]", spark_config={"spark.sql.shuffle.partitions": "3"})
assert SparkSession.getActiveSession() is None, "nothing starts before its first use"
session = resource.spark_session
assert resource.spark_session is session
assert session.conf.get("spark.sql.shuffle.partitions") == "3", "what is given goes before the lake's own"
assert session.sparkContext.getConf().get("spark.ui.enabled") == "false"
rates = session.readStream.format("rate").load().writeStream.format("memory").queryName("rates").start()
resource.close()
resource.close()
assert not rates.isActive
assert SparkSession.getActiveSession() is None
"""

# In a process of its own: a JVM keeps the settings with which its first session started.
IS_PLAIN = """
from pyspark.sql import SparkSession
from music_lakehouse.resources.spark import SessionWithoutDeltaError, SparkResource

plain = SparkSession.builder.master("local[1]").config("spark.ui.enabled", "false").getOrCreate()
try:
    SparkResource(master="local[1]").spark_session
except SessionWithoutDeltaError as error:
    print(error)
assert plain.range(1).count() == 1, "a session that is another's is not stopped"
plain.stop()
"""


def test_a_session_is_made_at_first_use_and_stopped_with_its_queries() -> None:
    _run(LIVES)


def test_a_session_without_delta_is_refused_and_left_running() -> None:
    assert "the Spark session at local[1] lacks Delta" in _run(IS_PLAIN)


def _run(program: str) -> str:
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def test_a_session_that_was_there_is_used_and_left_running(spark: SparkSession) -> None:
    resource = SparkResource(master="local[1]")
    assert resource.spark_session.range(3).count() == 3
    resource.close()
    assert spark.range(2).count() == 2


def test_a_session_has_delta_and_what_the_lake_needs(spark: SparkSession) -> None:
    assert spark.conf.get("spark.sql.extensions") == EXTENSION
    assert spark.conf.get("spark.sql.session.timeZone") == "UTC"
    for name in session_settings().keys() - {
        "spark.sql.shuffle.partitions",
        "spark.databricks.delta.snapshotPartitions",
    }:
        assert spark.conf.get(name) == session_settings()[name]


def test_a_session_for_few_rows_does_without_javas_second_compiler() -> None:
    option = "spark.driver.defaultJavaOptions"
    assert "TieredStopAtLevel=1" in driver_settings(for_little=True)[option]
    assert "TieredStopAtLevel" not in driver_settings()[option]
