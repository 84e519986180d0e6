"""`music-lakehouse up` as a user runs it: rows arrive, the Spark server is killed, more rows arrive, Ctrl-C."""

from __future__ import annotations

import re
import urllib.request
from pathlib import Path

import psutil
import pytest

from music_lakehouse.lakehouse.locks import lock_file
from music_lakehouse_tests.end_to_end.running import Up

pytestmark = [
    pytest.mark.spark,
    pytest.mark.kafka,
    pytest.mark.end_to_end,
    pytest.mark.slow,
    pytest.mark.timeout(900),
]


@pytest.mark.parametrize(
    ("options", "job", "runs"),
    [([], "streaming_pipeline", []), (["--continuous"], "continuous_pipeline", ["Continuous"])],
)
def test_up_goes_on_when_its_spark_is_killed_and_leaves_nothing_behind_at_ctrl_c(
    tmp_path: Path, options: list[str], job: str, runs: list[str]
) -> None:
    up = Up(tmp_path, "--rate", "20", "--no-dashboard", *options)
    seen: set[psutil.Process] = set()
    try:
        up.wait_for(lambda: up.streams > 0, "rows in gold.wide_streams", 240)
        seen.update(up.children)
        assert len(up.listening()) == 4
        with urllib.request.urlopen(f"http://127.0.0.1:{up.metrics}/metrics", timeout=30) as page:
            assert "music_lakehouse_kafka_up 1.0" in page.read().decode()
        first, rows = up.spark_server(), up.streams
        assert first is not None
        first.kill()
        up.wait_for(lambda: up.spark_server() not in (None, first), "another Spark server", 60)
        up.wait_for(lambda: up.streams > rows, "more rows", 240)
        seen.update(up.children)
    finally:
        up.stop()
    text = up.log.read_text()
    assert up.process.returncode == 0, text
    assert not psutil.wait_procs(seen, timeout=20)[1]
    assert up.listening() == []
    assert not lock_file(up.lake.root).exists()
    assert "Spark ended by SIGKILL: it is started again in 1 s" in text
    assert re.search(r"events a second; [\d,]+ messages that raw lacks, [\d,]+ listens that gold lacks; [1-9]", text)
    assert re.search(rf"Last run: {job} \w+", text)
    order = re.findall(r"Stopping (\w+)", text)
    assert order == ["Simulator", "Metrics", *runs, "Dagster", "Spark", "Kafka"]
    assert text.rstrip().endswith("Everything is stopped")
