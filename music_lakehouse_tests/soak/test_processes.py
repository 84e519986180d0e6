from __future__ import annotations

import os
import subprocess
import sys

import psutil
import pytest

from music_lakehouse_tests.end_to_end.running import SERVER
from music_lakehouse_tests.soak import processes
from music_lakehouse_tests.soak.processes import Found, look, part_of


@pytest.mark.parametrize(
    ("command", "part"),
    [
        ("python -m music_lakehouse.cli.main up --rate 20 --port 3000", processes.UP),
        ("python -m music_lakehouse.supervisor.keeper 2 30 python -m dagster dev -h 127.0.0.1", processes.OTHER),
        (f"/usr/bin/java -cp jars -Xmx2g org.apache.spark.deploy.SparkSubmit --class {SERVER}", processes.SPARK),
        ("/usr/bin/java -Xmx512m -cp jars kafka.Kafka server.properties", processes.KAFKA),
        ("python -m dagster_webserver --port 3000 --live-data-poll-rate 2000", processes.WEBSERVER),
        ("python -m dagster._daemon run --log-level info", processes.DAEMON),
        (
            "python -m dagster api grpc --lazy-load-user-code --socket /tmp/x -m music_lakehouse.definitions",
            "code server",
        ),
        ("python -m music_lakehouse.cli.main metrics --serve 9108", processes.METRICS),
        ("python -m streamlit run app.py --server.port=8501", processes.DASHBOARD),
        ("python -c main(6)", processes.OTHER),
    ],
)
def test_a_command_line_tells_its_part(command: str, part: str) -> None:
    assert part_of(command.split()) == part


def test_a_run_is_told_from_what_it_was_forked_from_by_their_parents() -> None:
    waits = ["python", "-c", "from multiprocessing.forkserver import main; main(8, 9, ['duckdb'])"]

    assert part_of(waits, ["python", "-m", "dagster._daemon", "run"]) == processes.OTHER
    assert part_of(waits, waits) == processes.RUN


def test_processes_are_looked_at_and_those_that_are_gone_left_out() -> None:
    gone = subprocess.Popen([sys.executable, "-c", "pass"])
    process = psutil.Process(gone.pid)
    gone.wait()

    [found] = look([psutil.Process(os.getpid()), process])

    assert isinstance(found, Found)
    assert found.pid == os.getpid()
    assert found.memory > 10_000_000
