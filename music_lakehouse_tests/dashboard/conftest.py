"""Lakes that the dashboard's tests share."""

from __future__ import annotations

from pathlib import Path

import pytest

from music_lakehouse_tests.dashboard.lakes import SmallLake, small_lake


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory, seed: int) -> SmallLake:
    """A small lake for the whole test run; nobody may write it."""
    return small_lake(str(tmp_path_factory.mktemp("small") / "lake"), seed)


@pytest.fixture
def own(tmp_path: Path, seed: int) -> SmallLake:
    """The same lake, of the test's own."""
    return small_lake(str(tmp_path / "lake"), seed)
