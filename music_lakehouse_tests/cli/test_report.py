"""`music-lakehouse report`: writes the page, and says where it is."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from music_lakehouse_tests.dashboard.lakes import small_lake

pytestmark = pytest.mark.thorough


def test_it_says_where_the_page_is_and_whether_it_had_to_be_written(
    process: Callable[..., subprocess.Popen[str]], place: Path, seed: int
) -> None:
    small_lake(str(place / "data" / "lakehouse"), seed)

    def said(*arguments: str) -> str:
        with process(*arguments) as ran:
            out, err = ran.communicate(timeout=120)
        assert ran.returncode == 0, err
        return " ".join(out.split())

    page = place / "data" / "lakehouse" / "gold" / "listening_report" / "index.html"
    assert said("run", "listening_report").startswith("gold.listening_report written ")
    assert said("report") == f"The listening report is {page}, which has all rows of its tables"
    page.unlink()
    assert said("report") == f"The listening report is {page}"
    assert page.read_text().count("<svg") == 4
