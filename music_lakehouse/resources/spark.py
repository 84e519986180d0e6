"""The Spark session of a run: local, of a Spark master, or of a Spark Connect server; always with Delta and Kafka."""

from __future__ import annotations

import logging
import os
import re
from pathlib import Path
from tempfile import gettempdir
from typing import Any, cast
from urllib.parse import urlsplit

import dagster as dg
import psutil
from dagster_pyspark import LazyPySparkResource
from pydantic import Field, PrivateAttr
from pyspark import SparkContext
from pyspark.sql import SparkSession

from music_lakehouse import class_archives, jars
from music_lakehouse.lakehouse.locks import spark_children
from music_lakehouse.lakehouse.masking import Masking
from music_lakehouse.lakehouse.remote_spark import RemoteSession, limit_retries, require_server, with_secrets
from music_lakehouse.lakehouse.sql_names import register_on_demand, register_tables, stop_registering
from music_lakehouse.resources import s3a
from music_lakehouse.settings import Settings

EXTENSION = "io.delta.sql.DeltaSparkSessionExtension"
SHUFFLE_PARTITIONS = "spark.sql.shuffle.partitions"
CATALOG = "org.apache.spark.sql.delta.catalog.DeltaCatalog"
_LOGGING = Path(__file__).with_name("log4j2.properties")

# Small heaps fill up often: G1 would mark them in the background most of the time. And Java's second compiler waits
# until a method is ten times as busy as by default: in a run of a minute or two it would take more than it saves, and
# of a server that takes a hundred events a second it took half of the processor for many minutes.
_JAVA_OPTIONS = (
    "-XX:+UseParallelGC -XX:Tier4InvocationThreshold=50000 -XX:Tier4MinInvocationThreshold=6000 "
    "-XX:Tier4CompileThreshold=150000 -XX:Tier4BackEdgeThreshold=400000"
)

# Where there is little to do it takes a quarter of the run's time and saves none. Of a million messages it saves most.
_JAVA_OPTIONS_FOR_LITTLE = "-XX:+UseSerialGC -XX:TieredStopAtLevel=1"


class SessionWithoutDeltaError(RuntimeError):
    """The session that Spark returned cannot write Delta tables."""


class SparkResource(LazyPySparkResource):
    """dagster-pyspark's lazy session with what a lake needs: Delta, the jars, and an end.

    The session starts at its first use. When the run ends, its streaming queries are stopped, and the session too where
    this resource made it. On a Spark Connect server each resource has a session of its own, and settings don't reach
    those of others.
    """

    spark_config: dict[str, Any] = Field(
        default_factory=dict, description="Spark settings that override the lake's own"
    )
    master: str = Field(default="local[*]", description="Spark master; not used where `remote` is set")
    remote: str | None = Field(
        default=None,
        description="sc://host:port of a Spark Connect server; starts no JVM here. What else its URL has, which may be "
        "a token, is read from the environment at use",
    )
    lake_root: str | None = Field(
        default=None, description="root of the lake: in S3, Spark gets what it reaches it by; default: the settings'"
    )
    _made: bool = PrivateAttr(default=False)
    _partitions: str = PrivateAttr(default="")
    _for_little: bool = PrivateAttr(default=False)

    @classmethod
    def _is_dagster_maintained(cls) -> bool:
        return False

    def expect_little(self) -> None:
        """Let the session, if it is still to be started, be one for few rows, and for no longer than a run."""
        self._for_little = True

    @property
    def spark_session(self) -> SparkSession:
        """The session. Its `sql` knows the lake's tables as `layer.table`: it registers those that a statement names.
        Raises SessionWithoutDeltaError where the one that is active, or the server's, lacks Delta, and
        SparkUnavailableError where no server answers."""
        self._init_session()
        return cast(SparkSession, self._spark_session)

    @property
    def large_change_settings(self) -> dict[str, Any]:
        """What holds for large changes rather than the lake's own settings: what was chosen, and as many partitions as
        there are cores here, or as the cluster is set to."""
        self._init_session()
        return {SHUFFLE_PARTITIONS: self._partitions, **self.spark_config}

    @property
    def remote_session(self) -> RemoteSession | None:
        """What the session is to its Spark Connect server; None where there is no session, or one of our own."""
        if self.remote is None or self._spark_session is None:
            return None
        return RemoteSession.of(self._spark_session, self.remote)

    def sql_session(self, root: str | None = None, *, masked: bool = False) -> SparkSession:
        """The session with all tables of the lake at `root` (an absolute path or a URI; default: the settings') by
        their names, as its catalog lists them too: a fifth of a second a table. `masked` makes the names views without
        personal data."""
        from music_lakehouse.defs.catalog import TABLES

        settings = Settings()
        masking = Masking.of(TABLES, settings.masking_key) if masked else None
        register_tables(self.spark_session, root or settings.lake_uri, masking=masking)
        return self.spark_session

    def _init_session(self) -> None:
        if self._spark_session is not None:
            return
        active = None if self.remote else SparkSession.getActiveSession()
        self._made = active is None
        # Of a session that is there, the builder would change what it says of itself: it is looked at before.
        session = active or self._new_session()
        if EXTENSION not in (session.conf.get("spark.sql.extensions", "") or ""):
            raise SessionWithoutDeltaError(
                f"the Spark session at {self.remote or self.master} lacks Delta: stop the session made before in "
                f"this process, or start the server with spark.sql.extensions={EXTENSION} and the jars of `make setup`"
            )
        master = None if self.remote else session.conf.get("spark.master", self.master)
        cores = cores_of(master)
        self._partitions = str(cores) if cores else cast(str, session.conf.get(SHUFFLE_PARTITIONS))
        if active is not None:
            for key, value in {**session_settings(master), **self.spark_config}.items():
                active.conf.set(key, value)
        register_on_demand(session, self.lake_root or Settings().lake_uri)
        self._spark_session = session

    def _new_session(self) -> SparkSession:
        if self.remote is None:
            return self._builder().getOrCreate()
        require_server(self.remote)
        session = self._builder().create()
        limit_retries(session)
        return session

    def _builder(self) -> SparkSession.Builder:
        settings = session_settings(None if self.remote else self.master)
        if not self.remote:
            settings |= driver_settings(self.master, self.lake_root or Settings().lake_uri, for_little=self._for_little)
        builder = SparkSession.builder.appName("music_lakehouse")
        builder = builder.remote(with_secrets(self.remote)) if self.remote else builder.master(self.master)
        for key, value in {**settings, **self.spark_config}.items():
            builder = builder.config(key, value)
        return builder

    def teardown_after_execution(self, context: dg.InitResourceContext) -> None:
        self.close()

    def close(self) -> None:
        """Stop the session's queries, and the session where this resource made it; harmless where there is none.

        Raises SessionNotEndedError where what a Spark Connect server was asked for may still be running.
        """
        if self._spark_session is None:
            return
        remote = self.remote_session
        session, self._spark_session = self._spark_session, None
        if remote is not None:
            session.release_session_on_close = False
            session.stop()
            remote.end()
            return
        try:
            for query in session.streams.active:
                query.stop()
            if self._made:
                session.stop()
            else:
                stop_registering(session)
        except Exception as error:
            if not self._made:
                raise
            # It ended by itself, or was interrupted in the middle of a call: then it doesn't listen, but may commit.
            drivers = spark_children()
            for driver in drivers:
                driver.kill()
            psutil.wait_procs(drivers, timeout=30)
            _forget_driver()
            logging.getLogger(__name__).warning("Spark could not be stopped (%s): its process was ended", error)


def _forget_driver() -> None:
    """Let the next session of this process start a JVM: PySpark keeps to the one that it started, also where it is
    gone."""
    SparkContext._active_spark_context = None
    SparkContext._gateway = None
    SparkContext._jvm = None
    SparkSession._instantiatedSession = None
    SparkSession._activeSession = None


def cores_of(master: str | None) -> int | None:
    """How many cores a master on this machine uses, `local[2]` two; None of a cluster, which has settings of its own,
    and where `master` is None, as of a Spark Connect server."""
    local = re.fullmatch(r"local(?:\[(\d+|\*)(?:,.*)?\])?", master or "")
    if local is None:
        return None
    return (os.cpu_count() or 2) if local[1] == "*" else int(local[1] or 1)


def java_options(*, for_little: bool) -> str:
    """What a driver's JVM is started with, as Spark's launcher reads it: it splits at blanks, which a path may have."""
    archive = [f'"{option}"' for option in class_archives.java_options("spark")]
    return " ".join([_JAVA_OPTIONS_FOR_LITTLE if for_little else _JAVA_OPTIONS, *archive])


def session_settings(master: str | None = "local[*]") -> dict[str, str]:
    """Settings of a session, which a Spark Connect client, of which no master is known, may set too."""
    settings = {
        "spark.sql.session.timeZone": "UTC",
        # Spark's default, INT96, has no statistics to prune by, and Arrow reads it in nanoseconds: to 2262 only.
        "spark.sql.parquet.outputTimestampType": "TIMESTAMP_MICROS",
        # JSON allows a name twice; the last one holds, as in from_json.
        "spark.sql.variant.allowDuplicateKeys": "true",
        "spark.databricks.delta.snapshotPartitions": "1",
        # A Spark Connect server loads classes for each session by itself, and a streaming query is one: what Java has
        # compiled for the last would be compiled anew for the next, and stay in memory. No session has jars of its own.
        "spark.sql.artifact.isolation.enabled": "false",
        "spark.sql.artifact.isolation.alwaysApplyClassloader": "false",
    }
    cores = cores_of(master)
    if cores is not None:
        settings[SHUFFLE_PARTITIONS] = str(cores)
        settings["spark.sql.sources.parallelPartitionDiscovery.parallelism"] = str(cores)
    return settings


def driver_settings(master: str = "local[*]", lake_root: str = "", *, for_little: bool = False) -> dict[str, str]:
    """Settings with which a driver starts: the jars, Delta, memory, quiet logs; what it takes to reach a lake in S3. On
    this machine nothing listens beyond loopback; executors of a cluster have to reach the driver. `for_little`: few
    rows are expected."""
    in_s3 = lake_root.startswith(s3a.SCHEME)
    used = [*jars.spark_jars(), *(jars.s3_jars() if in_s3 else [])]
    settings = {
        "spark.jars": ",".join(str(jar) for jar in used),
        "spark.sql.extensions": EXTENSION,
        "spark.sql.catalog.spark_catalog": CATALOG,
        "spark.driver.memory": os.environ.get("SPARK_DRIVER_MEMORY", "2g"),
        "spark.ui.enabled": "false",
        # Where the lake is no table lies: by default Spark makes a directory where it was started.
        "spark.sql.warehouse.dir": gettempdir(),
        # What no one looks at without that UI: by default the plans and tasks of thousands of queries.
        "spark.sql.ui.explainMode": "simple",
        "spark.sql.ui.retainedExecutions": "10",
        "spark.ui.retainedJobs": "10",
        "spark.ui.retainedStages": "10",
        "spark.ui.retainedTasks": "100",
        # A run has several hundred generated classes; at the default of 100 each run compiles them anew.
        "spark.sql.codegen.cache.maxEntries": "10000",
        "spark.ui.showConsoleProgress": "false",
        "spark.driver.defaultJavaOptions": java_options(for_little=for_little),
        "spark.driver.extraJavaOptions": f"-Dlog4j2.configurationFile={_LOGGING.as_uri()}",
        "spark.sql.streaming.checkpointFileManagerClass": (
            "org.apache.spark.sql.execution.streaming.checkpointing.FileSystemBasedCheckpointFileManager"
        ),
    }
    if cores_of(master) is not None:
        # Every hash table takes a page at least; by default 64 MB of a heap of 2 GB, however few rows it holds.
        settings["spark.buffer.pageSize"] = "2m"
    if cores_of(master) is not None or urlsplit(master).hostname in ("127.0.0.1", "localhost"):
        settings |= {"spark.driver.bindAddress": "127.0.0.1", "spark.driver.host": "127.0.0.1"}
    if in_s3:
        settings |= s3a.s3a_settings()
    return settings
