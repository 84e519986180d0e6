"""A short soak with every fault, as `make soak` runs it."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from music_lakehouse_tests.soak.disk import may_mount
from music_lakehouse_tests.soak.schedule import DISK, KINDS

REPOSITORY = Path(__file__).parents[2]

pytestmark = [
    pytest.mark.spark,
    pytest.mark.kafka,
    pytest.mark.chaos,
    pytest.mark.slow,
    pytest.mark.alone,
    pytest.mark.timeout(1800),
]


def test_four_minutes_with_every_fault_lose_nothing_and_leave_nothing(tmp_path: Path, seed: int) -> None:
    options = ["--minutes", "4", "--every", "40", "--calm", "0", "--rate", "50", "--seed", str(seed)]
    places = ["--directory", str(tmp_path / "work"), "--report", str(tmp_path / "report")]

    done = subprocess.run(
        [sys.executable, "-m", "music_lakehouse_tests.soak", *options, *places],
        cwd=REPOSITORY,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stdout
    happened = set(re.findall(r"^\S+ (\w+) \.\.\.$", done.stdout, re.MULTILINE))
    assert happened == set(KINDS) - (set() if may_mount() else {DISK})
    assert "held    Every table is what the oracle makes of the messages" in done.stdout
    assert (tmp_path / "report" / "soak.html").is_file()
