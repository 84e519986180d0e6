"""What all tests share: the seed, a Kafka broker, and names that no other test uses."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import pytest

from music_lakehouse.simulator.broker import EmbeddedBroker, free_port

DEFAULT_SEED = 20180101


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--seed", type=int, default=DEFAULT_SEED, help="seed of everything drawn at random")


def pytest_report_header(config: pytest.Config) -> str:
    return f"seed: {config.getoption('--seed')}"


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


@pytest.fixture
def topic_prefix() -> str:
    """A prefix for topic names (and consumer groups) that no other test uses."""
    return f"{uuid.uuid4().hex[:8]}-"
