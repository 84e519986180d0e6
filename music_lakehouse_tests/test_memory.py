"""What native libraries do with memory that they don't need any more, in a process that imports the package."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

SETTINGS = ("_RJEM_MALLOC_CONF", "ARROW_DEFAULT_MEMORY_POOL", "MALLOC_ARENA_MAX")
READ_AND_LET_GO = """
import sys
import music_lakehouse
import psutil
import pyarrow as pa
from deltalake import DeltaTable, write_deltalake

texts = pa.array([f"{i:x}" * 12 for i in range(500_000)])
write_deltalake(sys.argv[1], pa.table({"text": texts}), configuration={"delta.enableChangeDataFeed": "true"})
before = psutil.Process().memory_info().rss
rows = pa.table(DeltaTable(sys.argv[1]).load_cdf(0, 0))
size = rows.nbytes
del rows
print((psutil.Process().memory_info().rss - before) / size)
"""


def kept(directory: Path, **chosen: str) -> float:
    """Of the bytes of a table's rows, the share that a new process still holds once it has let them go."""
    environment = {name: value for name, value in os.environ.items() if name not in SETTINGS} | chosen
    command = [sys.executable, "-c", READ_AND_LET_GO, str(directory)]
    return float(subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout)


@pytest.mark.thorough
def test_rows_that_were_read_and_let_go_take_no_memory(tmp_path: Path) -> None:
    assert kept(tmp_path) < 0.5


@pytest.mark.thorough
def test_what_the_user_chose_of_it_holds(tmp_path: Path) -> None:
    keep_for_a_minute = "dirty_decay_ms:60000,muzzy_decay_ms:60000"
    assert kept(tmp_path, _RJEM_MALLOC_CONF=keep_for_a_minute, ARROW_DEFAULT_MEMORY_POOL="mimalloc") > 0.5
