"""What all tests share: the seed, a Kafka broker, a Spark session, lakes and names that no other test uses."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from pyspark.sql import SparkSession

from music_lakehouse.lakehouse.lake import Lake
from music_lakehouse.resources.spark import SparkResource
from music_lakehouse.simulator.broker import EmbeddedBroker, free_port
from music_lakehouse_tests.few_rows import FOR_FEW_ROWS, QUICK_JAVA
from music_lakehouse_tests.marks import leaves_out

if TYPE_CHECKING:
    from music_lakehouse.resources.connect_server import ConnectServer
    from music_lakehouse_tests.object_store import ObjectStore
    from music_lakehouse_tests.postgres import Postgres
    from music_lakehouse_tests.secure_broker import SecureBroker

DEFAULT_SEED = 20180101


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--seed", type=int, default=DEFAULT_SEED, help="seed of everything drawn at random")


def pytest_report_header(config: pytest.Config) -> str:
    return f"seed: {config.getoption('--seed')}"


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """To import the files whose tests are all left out would take as long as half of the fast tests."""
    if collection_path.suffix != ".py" or not leaves_out(config.option.markexpr, collection_path.read_text()):
        return None
    return True


@pytest.fixture(scope="session")
def seed(pytestconfig: pytest.Config) -> int:
    """The seed of this test run, `--seed N`."""
    value: int = pytestconfig.getoption("--seed")
    return value


@pytest.fixture(scope="session")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedBroker]:
    """A real Kafka broker for the whole test run, on a free port; nobody may stop it."""
    with EmbeddedBroker(tmp_path_factory.mktemp("broker"), free_port()) as running:
        yield running


@pytest.fixture(scope="session")
def secure_broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecureBroker]:
    """A real Kafka broker that encrypts and asks for a log-in, for the whole test run; nobody may stop it."""
    from music_lakehouse_tests.secure_broker import Authority, SecureBroker

    directory = tmp_path_factory.mktemp("secure")
    running = SecureBroker(directory / "broker", Authority(directory / "certificates"))
    with running:
        yield running


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A real PostgreSQL server for the whole test run; whoever stops it starts it again."""
    from music_lakehouse_tests.postgres import new_postgres

    with new_postgres() as server:
        yield server


@pytest.fixture(scope="session")
def _object_store() -> Iterator[ObjectStore]:
    from music_lakehouse_tests.object_store import ObjectStore

    store = ObjectStore()
    yield store
    store.close()


@pytest.fixture
def bucket(_object_store: ObjectStore, monkeypatch: pytest.MonkeyPatch) -> str:
    """The URI of an empty bucket in an object store that the environment tells of."""
    for name, value in _object_store.settings.items():
        monkeypatch.setenv(name, value)
    return f"s3://{_object_store.new_bucket()}"


@pytest.fixture
def topic_prefix() -> str:
    """A prefix for topic names (and consumer groups) that no other test uses."""
    return f"{uuid.uuid4().hex[:8]}-"


@pytest.fixture(scope="session")
def spark() -> Iterator[SparkSession]:
    """One Spark session for the whole test run, with Delta and Kafka; nobody may stop it."""
    resource = SparkResource(master="local[2]", spark_config=FOR_FEW_ROWS)
    yield resource.spark_session
    resource.close()


@pytest.fixture(scope="session")
def connect_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ConnectServer]:
    """A Spark Connect server for the whole test run, for processes that start no JVM; nobody may stop it."""
    from music_lakehouse.resources.connect_server import ConnectServer

    with ConnectServer(
        tmp_path_factory.mktemp("connect"), free_port(), master="local[2]", settings=QUICK_JAVA
    ) as server:
        yield server


@pytest.fixture
def lake(spark: SparkSession, tmp_path: Path) -> Lake:
    """An empty lake of the test's own."""
    return Lake(str(tmp_path / "lake"), spark)


@pytest.fixture
def commit_by_commit(monkeypatch: pytest.MonkeyPatch) -> None:
    """Steps take what waits for them in pieces of one commit each."""
    monkeypatch.setattr("music_lakehouse.lakehouse.steps.MOST_ROWS_A_PIECE", 0)
