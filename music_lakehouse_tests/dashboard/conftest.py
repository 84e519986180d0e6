"""Lakes that the dashboard's tests share."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from music_lakehouse_tests.dashboard.lakes import SmallLake, small_lake


@pytest.fixture(autouse=True)
def main_module_put_back() -> Iterator[None]:
    """Streamlit's AppTest leaves its script as Python's main module, and processes started later would run it."""
    main = sys.modules["__main__"]
    yield
    sys.modules["__main__"] = main


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory, seed: int) -> SmallLake:
    """A small lake for the whole test run; nobody may write it."""
    return small_lake(str(tmp_path_factory.mktemp("small") / "lake"), seed)


@pytest.fixture
def own(tmp_path: Path, seed: int) -> SmallLake:
    """The same lake, of the test's own."""
    return small_lake(str(tmp_path / "lake"), seed)
