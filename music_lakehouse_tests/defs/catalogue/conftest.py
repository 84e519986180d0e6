from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import SecretStr

from music_lakehouse_tests.defs.catalogue.databases import Catalogue


@pytest.fixture
def catalogue(tmp_path: Path) -> Catalogue:
    """An SQLite database of the test's own with the catalogue's tables, empty."""
    return Catalogue(SecretStr(f"sqlite:///{tmp_path}/catalogue.db"), tmp_path / "landing")
