"""A directory in which command lines run as processes, with settings of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from music_lakehouse_tests.cli.conftest import Ran

REPOSITORY = Path(__file__).parents[2]


@dataclass(frozen=True)
class Place:
    """A directory with settings of its own, in which command lines run as processes: the code location reads the
    settings when it is loaded."""

    directory: Path
    settings: dict[str, str]

    @property
    def lake(self) -> Path:
        return self.directory / "data" / "lakehouse"

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("KAFKA_", "DAGSTER_"))}
        return subprocess.Popen(
            [sys.executable, "-m", "music_lakehouse.cli.main", *arguments],
            cwd=self.directory,
            env={**kept, "PYTHONPATH": str(REPOSITORY), "SPARK_MASTER": "local[2]", **self.settings},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *arguments: str) -> Ran:
        process = self.start(*arguments)
        out, err = process.communicate(timeout=1000)
        return Ran(process.returncode, out, err)
