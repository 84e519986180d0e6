"""Databases for the tests of what reads them."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import SecretStr

from music_lakehouse.lakehouse.landing import Landing
from music_lakehouse_tests.lakehouse.sources import Source


@pytest.fixture(params=["sqlite", "postgresql"])
def source(request: pytest.FixtureRequest, tmp_path: Path) -> Source:
    """A database of the test's own, once SQLite and once PostgreSQL."""
    if request.param == "sqlite":
        return Source(SecretStr(f"sqlite:///{tmp_path}/source.db"))
    return Source(request.getfixturevalue("postgres").new_database())


@pytest.fixture
def landing(tmp_path: Path) -> Landing:
    """A directory for one table's files, not there yet."""
    return Landing(tmp_path / "landing" / "DimUser")
