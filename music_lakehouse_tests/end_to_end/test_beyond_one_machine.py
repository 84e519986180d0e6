"""The same pipelines with the lake in S3, as moto serves it, and on a Spark standalone cluster, against the oracle."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from music_lakehouse.cli.main import main
from music_lakehouse.lakehouse import delta
from music_lakehouse.lakehouse.inventory import find_tables
from music_lakehouse.resources.connect_server import ConnectServer
from music_lakehouse.simulator.broker import EmbeddedBroker, free_port
from music_lakehouse_tests.chaos.lab import CustomersLab, Lab
from music_lakehouse_tests.end_to_end.standalone import StandaloneCluster

pytestmark = [
    pytest.mark.spark,
    pytest.mark.end_to_end,
    pytest.mark.thorough,
    pytest.mark.slow,
    pytest.mark.timeout(900),
]


@pytest.fixture
def here(bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The root of a lake in S3, as the commands' environment names it."""
    root = f"{bucket}/lake"
    monkeypatch.setenv("LAKEHOUSE_ROOT", root)
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "dagster"))
    return root


@pytest.fixture
def cluster(here: str, tmp_path: Path) -> Iterator[StandaloneCluster]:
    """A master and two workers."""
    with StandaloneCluster(tmp_path / "cluster") as running:
        yield running


def streams(lab: Lab, seed: int, **environment: str) -> None:
    """Two runs of the pipeline, the second over what comes later: after each the tables are what the oracle says, and
    nothing printed has the store's password."""
    lab.write_reference()
    for messages in (500, 800):
        lab.send(messages, seed + messages)
        ran = lab.run(fault=None, **environment)
        assert ran.success, ran.output
        assert "anything" not in ran.output
        lab.compare()


def of_tables(lab: Lab) -> dict[str, int]:
    """The versions of the tables that a run without news leaves alone."""
    found = {name: delta.open_table(uri) for name, uri in find_tables(lab.lake.root).items()}
    return {name: t.version() for name, t in found.items() if t is not None and name.startswith(("silver", "gold"))}


@pytest.mark.kafka
def test_listening_to_a_lake_in_s3_gives_what_the_oracle_says_and_commands_work_on_it(
    broker: EmbeddedBroker,
    topic_prefix: str,
    here: str,
    tmp_path: Path,
    seed: int,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lab = Lab(tmp_path, broker.bootstrap_servers, topic_prefix, lake_root=here)
    streams(lab, seed)
    versions = of_tables(lab)
    assert lab.run().success
    assert of_tables(lab) == versions, "nothing is new then"
    monkeypatch.setenv("REFERENCE_ROOT", str(lab.settings.reference_root))

    def told(*arguments: str) -> str:
        capfd.readouterr()
        code = main(arguments)
        out, err = capfd.readouterr()
        assert code == 0, err
        return out

    facts = lab.rows("gold.fact_streams")
    assert f"{facts:,}" in told("sql", "SELECT count(*) AS facts FROM gold.fact_streams")
    assert "gold.fact_streams" in told("tables")
    assert "MERGE" in told("history", "silver.dim_users")
    told("audit")
    told("reset", "--yes")
    assert find_tables(here) == {}
    assert lab.run().success
    lab.compare()


def test_customers_in_s3_are_what_the_oracle_says(here: str, tmp_path: Path, seed: int) -> None:
    lab = CustomersLab(tmp_path, lake_root=here)
    lab.fill(seed)
    for _ in range(2):
        ran = lab.run()
        assert ran.success, ran.output
        lab.compare()


@pytest.mark.kafka
def test_listening_on_a_cluster_to_a_lake_in_s3_gives_what_the_oracle_says(
    broker: EmbeddedBroker, topic_prefix: str, here: str, cluster: StandaloneCluster, tmp_path: Path, seed: int
) -> None:
    lab = Lab(tmp_path, broker.bootstrap_servers, topic_prefix, lake_root=here, master=cluster.master)
    streams(lab, seed)
    assert len(cluster.state()["completedapps"]) == 2


@pytest.mark.kafka
def test_listening_through_a_connect_server_of_a_cluster_gives_what_the_oracle_says(
    broker: EmbeddedBroker, topic_prefix: str, here: str, cluster: StandaloneCluster, tmp_path: Path, seed: int
) -> None:
    lab = Lab(tmp_path, broker.bootstrap_servers, topic_prefix, lake_root=here)
    without_java = str(tmp_path / "no java")
    with ConnectServer(tmp_path / "connect", free_port(), master=cluster.master, lake_root=lab.lake.root) as server:
        streams(lab, seed, SPARK_REMOTE=server.remote, JAVA_HOME=without_java)
        [application] = cluster.state()["activeapps"]
        assert application["cores"] == 2
