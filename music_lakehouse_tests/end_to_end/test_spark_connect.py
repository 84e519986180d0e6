"""Whole pipelines on a Spark Connect server, in processes that have no Java."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import psutil
import pytest
from pyspark.errors import PySparkException
from pyspark.errors.exceptions.connect import SparkConnectException, SparkConnectGrpcException
from pyspark.sql import SparkSession
from pyspark.sql.connect.proto import GetStatusResponse
from pyspark.sql.connect.session import SparkSession as ConnectSession

from music_lakehouse.lakehouse.locks import Holder, current_holder, lock_file, read_holder
from music_lakehouse.lakehouse.remote_spark import RemoteSession
from music_lakehouse.lakehouse.stream_figures import STREAMING
from music_lakehouse.resources.connect_server import ConnectServer
from music_lakehouse.simulator.broker import EmbeddedBroker, free_port
from music_lakehouse_tests.chaos.lab import (
    CatalogueLab,
    CustomersLab,
    HeartRateLab,
    Lab,
    RunResult,
    SourceLab,
    wait_for,
)
from music_lakehouse_tests.chaos.runner import Fault
from music_lakehouse_tests.few_rows import QUICK_JAVA

pytestmark = [pytest.mark.spark, pytest.mark.kafka, pytest.mark.end_to_end]


@pytest.fixture
def remote(connect_server: ConnectServer, tmp_path: Path) -> dict[str, str]:
    """The environment of a process that has the server, and no Java to start a JVM with."""
    return {"SPARK_REMOTE": connect_server.remote, "JAVA_HOME": str(tmp_path / "no java"), "LOCK_WAIT_SECONDS": "10"}


@pytest.fixture
def lab(tmp_path: Path, broker: EmbeddedBroker, topic_prefix: str) -> Iterator[Lab]:
    lab = Lab(tmp_path, broker.bootstrap_servers, topic_prefix)
    yield lab
    lab.end_runs()


def succeeded(result: RunResult) -> None:
    assert result.success, (result.errors, result.output)
    assert result.retries == []


def test_the_listening_pipeline_and_an_increment_give_what_the_oracle_says(lab: Lab, remote: dict[str, str]) -> None:
    lab.write_reference()
    lab.send(600, seed=1)
    succeeded(lab.run(fault=None, **remote))
    lab.compare()
    lab.send(300, seed=2)
    succeeded(lab.run(fault=None, **remote))
    lab.compare()
    assert lab.rows("bronze.quarantine") > 0
    assert lab.lake.rows(STREAMING) >= 4
    assert not lock_file(lab.lake.root).exists()


@pytest.mark.slow
@pytest.mark.parametrize("kind", [CustomersLab, HeartRateLab, CatalogueLab], ids=lambda kind: kind.job_name)
def test_another_source_and_an_increment_give_what_the_oracle_says(
    kind: type[SourceLab], tmp_path: Path, remote: dict[str, str], seed: int
) -> None:
    lab = kind(tmp_path)
    for more in (False, True):
        lab.fill(seed, more=more)
        succeeded(lab.run(fault=None, **remote))
        lab.compare()


@pytest.mark.slow
def test_a_run_has_a_session_of_its_own_which_the_lock_names_and_which_is_gone_after_it(
    lab: Lab, remote: dict[str, str], tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    lab.send(100, seed=1)
    run = lab.start(fault=Fault("ingest_batches", victim="nobody", gate=str(gate)), **remote)
    (session,) = holder_at(lab, gate).sessions
    assert f"sc://{session.host}:{session.port}" == remote["SPARK_REMOTE"]
    gate.unlink()
    succeeded(run.result())
    with pytest.raises(SparkConnectGrpcException, match="SESSION_CLOSED"):
        attached(session).range(1).count()


def test_what_a_killed_run_asked_the_server_for_is_ended_before_the_next_run_writes(
    lab: Lab, remote: dict[str, str], tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    lab.send(400, seed=1)
    killed = lab.start(
        fault=Fault("ingest_batches", table="raw.page_view_events", victim="nobody", gate=str(gate)), **remote
    )
    (session,) = holder_at(lab, gate).sessions
    # Whatever the run was at, this is what it leaves: a query that goes on for ever, and writes.
    left = tmp_path / "left"
    query = attached(session).readStream.format("rate").load().writeStream.format("delta")
    query.option("checkpointLocation", str(tmp_path / "checkpoint")).trigger(processingTime="0 seconds").start(
        str(left)
    )
    wait_for(left / "_delta_log", 120)
    killed.kill()
    assert current_holder(lab.lake.root) is None

    succeeded(lab.run(fault=None, **remote))

    written = len(list((left / "_delta_log").glob("*.json")))
    with pytest.raises(SparkConnectGrpcException, match="SESSION_CLOSED"):
        attached(session).range(1).count()
    time.sleep(3)
    assert len(list((left / "_delta_log").glob("*.json"))) == written
    lab.compare()


@pytest.mark.slow
def test_a_run_whose_server_is_killed_says_so_and_the_next_one_goes_on_on_a_new_server(
    lab: Lab, remote: dict[str, str], tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    lab.send(100, seed=1)
    server = ConnectServer(tmp_path / "server", free_port(), master="local[2]", settings=QUICK_JAVA)
    with server:
        mine = {**remote, "SPARK_REMOTE": server.remote}
        run = lab.start(fault=Fault("record_positions", victim="nobody", gate=str(gate)), **mine)
        holder_at(lab, gate)
        server.stop()
        server.start()
        gate.unlink()
        lost = run.result()
        assert lost.code == 1
        assert "Spark's process ended during the run" in " ".join(lost.errors)
        assert not lock_file(lab.lake.root).exists()
        succeeded(lab.run(fault=None, **mine))
    lab.compare()


def test_settings_of_one_session_do_not_reach_another(connect_server: ConnectServer) -> None:
    program = f"""
from music_lakehouse.resources.spark import SparkResource

first, second = (SparkResource(remote="{connect_server.remote}") for _ in range(2))
first.spark_session.conf.set("spark.sql.shuffle.partitions", "77")
assert second.spark_session.conf.get("spark.sql.shuffle.partitions") != "77"
assert first.remote_session != second.remote_session
first.close()
assert second.spark_session.range(3).count() == 3, "the server goes on"
second.close()
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr[-3000:]


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("jcmd") is None, reason="what Java has loaded is told by jcmd, which comes with a JDK")
def test_what_the_server_compiled_for_one_query_serves_the_next(connect_server: ConnectServer, tmp_path: Path) -> None:
    """A streaming query compiles some 26 classes, and a session 11 beside them."""
    program = f"""
from music_lakehouse.lakehouse.streaming import drain
from music_lakehouse.resources.spark import SparkResource

resource = SparkResource(remote={connect_server.remote!r})
spark, root = resource.spark_session, {str(tmp_path)!r}
spark.range(10).write.format("delta").mode("append").save(f"{{root}}/source")
rows = spark.readStream.format("delta").load(f"{{root}}/source")
drain(rows.writeStream.format("delta").option("checkpointLocation", f"{{root}}/checkpoint"), f"{{root}}/sink")
resource.close()
"""
    compiled = []
    for _ in range(4):
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=120)
        assert done.returncode == 0, done.stderr[-3000:]
        compiled.append(classes_compiled_by(connect_server))
    assert compiled[-1] - compiled[-2] < 20, compiled


def classes_compiled_by(server: ConnectServer) -> int:
    """How many classes that Spark generated the server's Java holds."""
    for java in psutil.Process().children(recursive=True):
        if java.name() == "java" and f"spark.connect.grpc.binding.port={server.port}" in java.cmdline():
            told = subprocess.run(
                ["jcmd", str(java.pid), "VM.classloader_stats"], capture_output=True, text=True, check=True
            )
            return told.stdout.count("ByteArrayClassLoader")
    raise LookupError(f"no process serves Spark Connect at port {server.port}")


def test_a_statement_that_would_never_end_ends_with_its_session(connect_server: ConnectServer) -> None:
    session = RemoteSession.of(cast(SparkSession, ConnectSession(connect_server.remote)), connect_server.remote)
    begun = Begun(session)
    begun.start()
    assert begun.at_work.wait(60)
    session.end()
    begun.join(30)
    assert re.search("OPERATION_CANCELED|SESSION_CLOSED|OPERATION_NOT_FOUND", begun.error)


@pytest.mark.slow
def test_what_ended_after_its_client_was_killed_does_not_hold_up_the_sessions_end(
    connect_server: ConnectServer,
) -> None:
    """The server keeps the result for a client that may come back, for minutes."""
    session = RemoteSession("127.0.0.1", connect_server.port, str(uuid.uuid4()), "somebody")
    program = f"""
from pyspark.sql.connect.session import SparkSession
SparkSession({session._url()!r}).range(1).selectExpr("reflect('java.lang.Thread', 'sleep', 8000L)").collect()
"""
    client = subprocess.Popen([sys.executable, "-c", program])
    watching = attached(session)
    try:
        wait_for_state(watching, "OPERATION_STATE_RUNNING")
    finally:
        client.kill()
        client.wait()
    wait_for_state(watching, "OPERATION_STATE_TERMINATING")

    asked = time.monotonic()
    session.end(seconds=10)
    assert time.monotonic() - asked < 10


class Begun(threading.Thread):
    """A statement of the session that takes for ever, and how it ended."""

    def __init__(self, session: RemoteSession) -> None:
        super().__init__(daemon=True)
        self.error = ""
        self.at_work = threading.Event()
        """Set once tasks run: before that, Spark would start them all the same, and nothing would end them."""
        self._session = session

    def run(self) -> None:
        spark = attached(self._session)
        spark.registerProgressHandler(cast(Any, self._see))
        try:
            spark.range(10**15).selectExpr("sum(hash(id))").collect()
        except PySparkException as error:
            self.error = str(error)

    def _see(self, *, inflight_tasks: int, **_: object) -> None:
        if inflight_tasks:
            self.at_work.set()


def wait_for_state(watching: Any, name: str) -> None:
    """Until the server says so of something that the session was asked for."""
    state = GetStatusResponse.OperationStatus.OperationState.Value(name)
    deadline = time.monotonic() + 60
    while state not in states(watching.client):
        assert time.monotonic() < deadline, f"nothing came to be {name}"
        time.sleep(0.1)


def states(client: Any) -> list[int]:
    """Of all that the session was asked for; nothing before the server has heard of it."""
    try:
        return [one.state for one in client._get_operation_statuses().operation_statuses]
    except SparkConnectException as error:
        if "SESSION_NOT_FOUND" not in str(error):
            raise
        return []


def attached(session: RemoteSession) -> ConnectSession:
    """A second client of the session, as long as it is held: it is closed with the last name of it."""
    return ConnectSession(session._url())


def holder_at(lab: Lab, gate: Path) -> Holder:
    """Who holds the lake of a run that waits at the gate."""
    wait_for(gate, 120)
    holder = read_holder(lock_file(lab.lake.root))
    assert holder is not None
    return holder
