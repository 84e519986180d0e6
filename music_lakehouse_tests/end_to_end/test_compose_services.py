"""The services of docker-compose.yml as they stand in the file, run as processes on a real Kafka and PostgreSQL."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from deltalake import DeltaTable
from sqlalchemy import create_engine, text

from music_lakehouse.settings import TOPICS
from music_lakehouse.simulator.broker import EmbeddedBroker, free_port
from music_lakehouse_tests.compose import REPOSITORY, LocalServices
from music_lakehouse_tests.postgres import Postgres

pytestmark = [
    pytest.mark.spark,
    pytest.mark.kafka,
    pytest.mark.end_to_end,
    pytest.mark.slow,
    pytest.mark.timeout(900),
]

PASSWORD = "0123456789abcdef"
RUNS = "{ runsOrError { ... on Runs { results { runId jobName status tags { key value } } } } }"
LAUNCH = """mutation { launchRun(executionParams: {selector: {jobName: "catalogue_pipeline",
    repositoryName: "__repository__", repositoryLocationName: "music_lakehouse"}, runConfigData: {}})
    { __typename ... on LaunchRunSuccess { run { runId } } } }"""

# In a process of its own, as one process has either a Spark of its own or sessions of a server.
COUNT = """
from pyspark.sql import SparkSession
spark = SparkSession.builder.remote("sc://127.0.0.1:{port}").getOrCreate()
count = spark.range(1000).repartition(2).count()
print(count, spark.conf.get("spark.master").rpartition(":")[0])
"""


class Platform:
    """The services, and where they are reached."""

    def __init__(self, services: LocalServices, webserver: str, database: str, lake: Path) -> None:
        self.services, self.webserver, self.database, self.lake = services, webserver, database, lake

    def query(self, graphql: str) -> Any:
        answer = requests.post(f"{self.webserver}/graphql", json={"query": graphql}, timeout=60).json()
        assert "errors" not in answer, answer
        return answer["data"]

    def ended_run(self, job: str, *, seconds: float) -> dict[str, Any]:
        """The job's first run, once it has ended."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            runs = [run for run in self.query(RUNS)["runsOrError"]["results"] if run["jobName"] == job]
            if runs and runs[-1]["status"] in ("SUCCESS", "FAILURE", "CANCELED"):
                run: dict[str, Any] = runs[-1]
                return run
            time.sleep(1)
        raise AssertionError(f"no run of {job} has ended: {self.services.end_of_log('daemon')}")


def spark_places(root: Path, connect_port: str) -> dict[str, str]:
    """What stands in the file for Spark's services, and what here."""
    master, *pages = (str(free_port()) for _ in range(3))
    return {
        "0.0.0.0": "127.0.0.1",
        "/data": str(root / "data"),
        "port 15002": f"port {connect_port}",
        "('127.0.0.1', 15002)": f"('127.0.0.1', {connect_port})",
        "sc://spark:15002": f"sc://127.0.0.1:{connect_port}",
        "--host spark": "--host 127.0.0.1",
        "--host spark-master": "--host 127.0.0.1",
        "port 7077": f"port {master}",
        "('spark-master', 7077)": f"('127.0.0.1', {master})",
        "spark-master:7077": f"127.0.0.1:{master}",
        "8080": pages[0],
        "8081": pages[1],
        "/tmp/spark-worker": str(root / "worker"),
    }


@pytest.fixture(scope="module")
def platform(
    broker: EmbeddedBroker, postgres: Postgres, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Platform]:
    root = tmp_path_factory.mktemp("compose")
    postgres.new_role("dagster", PASSWORD)
    postgres.execute("CREATE DATABASE dagster OWNER dagster")
    postgres.execute(
        (REPOSITORY / "docker" / "catalogue.sql").read_text().replace("catalogue;", "catalogue OWNER dagster;")
    )
    ports = {port: str(free_port()) for port in ("3000", "4000", "15002")}
    database = postgres.port()
    places = {
        **spark_places(root, ports["15002"]),
        **{f"port {old}": f"port {new}" for old, new in ports.items()},
        **{f"127.0.0.1:{old}": f"127.0.0.1:{new}" for old, new in ports.items()},
        "4000": ports["4000"],
        "postgresql:": "postgresql:",
        "postgres": "127.0.0.1",
        "5432": str(database),
        "kafka:19092": broker.bootstrap_servers,
        "/app/docker": str(root / "docker"),
    }
    shutil.copytree(REPOSITORY / "docker", root / "docker")
    workspace = root / "docker" / "workspace.yaml"
    workspace.write_text(workspace.read_text().replace("host: code", "host: 127.0.0.1").replace("4000", ports["4000"]))
    (root / "data" / "lake").mkdir(parents=True)
    (root / "data" / "logs").mkdir()
    variables = {"POSTGRES_PASSWORD": PASSWORD, "KAFKA_TOPIC_PREFIX": f"{root.name}-", "SPARK_MASTER": "local[2]"}
    variables["CATALOGUE_DATABASE_URL"] = f"postgresql://dagster:{PASSWORD}@postgres:5432/catalogue"
    services = LocalServices(root, variables, places)
    try:
        for name in ("spark", "code", "simulator"):
            services.start(name)
        # Both make Dagster's tables where they are missing: one after the other, as here nothing restarts them.
        for name in ("webserver", "daemon"):
            services.start(name)
        yield Platform(
            services,
            f"http://127.0.0.1:{ports['3000']}",
            f"postgresql+psycopg2://dagster:{PASSWORD}@127.0.0.1:{database}/dagster",
            root / "data" / "lake" / "lakehouse",
        )
    finally:
        services.stop()


def test_the_spark_connect_server_runs_on_workers_where_they_are(tmp_path: Path) -> None:
    port = str(free_port())
    variables = {
        "POSTGRES_PASSWORD": PASSWORD,
        "SPARK_MASTER": "spark://spark-master:7077",
        "SPARK_WORKER_MEMORY": "1g",
        "SPARK_DRIVER_MEMORY": "1g",
    }
    services = LocalServices(tmp_path, {**variables}, spark_places(tmp_path, port))
    try:
        for name in ("spark-master", "spark-worker", "spark"):
            services.start(name)
        counted = services.execute("spark", "python", "-c", COUNT.format(port=port))
    finally:
        services.stop()

    assert counted.split()[-2:] == ["1000", "spark://127.0.0.1"]


def test_the_sensor_takes_what_the_simulator_sends_to_gold(platform: Platform) -> None:
    run = platform.ended_run("streaming_pipeline", seconds=400)

    assert run["status"] == "SUCCESS", platform.services.end_of_log("code")
    tags = {tag["key"]: tag["value"] for tag in run["tags"]}
    assert tags["dagster/sensor_name"] == "kafka_sensor"
    rows = {event: DeltaTable(platform.lake / "raw" / event).count() for event in TOPICS}
    assert rows["page_view_events"] > 0
    assert (
        DeltaTable(platform.lake / "gold" / "wide_streams").count()
        == DeltaTable(platform.lake / "gold" / "fact_streams").count()
    )


def test_dagsters_storage_is_in_postgresql(platform: Platform) -> None:
    engine = create_engine(platform.database)
    with engine.connect() as connection:
        runs = connection.execute(text("SELECT count(*) FROM runs")).scalar_one()
        events = connection.execute(text("SELECT count(*) FROM event_logs")).scalar_one()

    assert runs >= 1
    assert events > 100


def test_every_service_is_well_and_says_no_password(platform: Platform) -> None:
    for name in ("spark", "code", "simulator", "webserver", "daemon"):
        assert platform.services.is_well(name), platform.services.end_of_log(name)
        assert PASSWORD not in platform.services.log(name).read_text(errors="replace")


def test_a_run_that_the_webserver_launches_reads_the_catalogues_database(platform: Platform) -> None:
    # Else the sensor's runs would hold the lake most of the time.
    platform.services.stop("simulator")
    platform.services.execute("code", "music-lakehouse", "simulate", "catalogue", "--streams", "100")

    assert platform.query(LAUNCH)["launchRun"]["__typename"] == "LaunchRunSuccess"
    run = platform.ended_run("catalogue_pipeline", seconds=300)

    assert run["status"] == "SUCCESS", platform.services.end_of_log("code")
    assert DeltaTable(platform.lake / "gold" / "catalogue_fact_stream").count() == 100


def test_the_webserver_of_readers_shows_all_runs_and_launches_none(platform: Platform) -> None:
    # In containers of their own both listen on the same port.
    platform.services.stop("webserver")
    platform.services.start("read-only-webserver")

    assert platform.ended_run("streaming_pipeline", seconds=400)["runId"]
    assert platform.query(LAUNCH)["launchRun"]["__typename"] == "UnauthorizedError"
