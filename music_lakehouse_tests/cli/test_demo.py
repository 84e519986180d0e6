from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime, timedelta, timezone
from pathlib import Path

import psutil
import pytest
from deltalake import DeltaTable

from music_lakehouse.cli.demo_stretch import next_stretch, record_sent
from music_lakehouse.cli.embedded import is_listening
from music_lakehouse.settings import Settings
from music_lakehouse.simulator.broker import free_port


def port() -> int:
    return int(Settings().kafka_bootstrap_servers.rpartition(":")[2])


def test_the_first_stretch_is_the_week_up_to_now_and_is_repeated_until_it_was_sent(tmp_path: Path) -> None:
    file = tmp_path / "demo.json"

    first = next_stretch(file)

    assert first is not None
    assert first.days == 7
    assert datetime.now(timezone.utc) - first.last < timedelta(seconds=5)
    assert next_stretch(file) == first


def test_the_next_stretch_begins_where_the_last_one_ended_but_not_over_a_week_ago(tmp_path: Path) -> None:
    file = tmp_path / "demo.json"
    now = datetime.now(timezone.utc).replace(microsecond=0)

    def after(ended: timedelta) -> float | None:
        known = {"start": "2024-01-01T00:00:00+00:00", "until": (now - ended).isoformat(), "sent": True}
        file.write_text(json.dumps(known))
        stretch = next_stretch(file)
        return None if stretch is None else stretch.days

    assert after(timedelta(seconds=10)) is None
    assert after(timedelta(hours=6)) == pytest.approx(0.25, abs=1e-3)
    assert after(timedelta(days=100)) == 7
    stretch = next_stretch(file)
    assert stretch is not None
    record_sent(file, stretch)
    assert next_stretch(file) is None


@pytest.mark.spark
@pytest.mark.kafka
@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_the_demo_shows_everything_and_run_again_takes_up_where_it_was(
    process: Callable[..., subprocess.Popen[str]], place: Path
) -> None:
    first = process("demo")
    out, err = first.communicate(timeout=850)

    assert first.returncode == 0, err
    for part in (
        "streaming_pipeline succeeded",
        "customers_pipeline succeeded",
        "heart_rate_pipeline succeeded",
        "catalogue_pipeline succeeded",
        " passed",
        "gold.wide_streams ",
        "messages and rows are in quarantine",
        "json_object",
        "Top songs",
        "Activity by hour",
        "Users by level and gender",
        "Listens by state",
        "Sales by market segment",
        "People by falling heart rate",
        "Streams by subscription",
        "California",
        "events a second",
        "What to type next",
    ):
        assert part in out
    assert not is_listening(port())
    facts = DeltaTable(place / "data" / "lakehouse" / "gold" / "fact_streams")
    rows, version = facts.count(), facts.version()
    assert rows > 1000

    again = process("demo")
    out, err = again.communicate(timeout=850)

    assert again.returncode == 0, err
    facts.update_incremental()
    assert rows <= facts.count() < rows + 200
    assert facts.version() <= version + 1
    assert not is_listening(port())


@pytest.mark.kafka
@pytest.mark.slow
def test_dev_brings_up_kafka_and_dagsters_ui_and_ctrl_c_stops_both(place: Path) -> None:
    ui = free_port()
    output = place / "dev.log"
    with output.open("w") as log:
        running = subprocess.Popen(
            [sys.executable, "-m", "music_lakehouse.cli.main", "dev", "--port", str(ui)],
            cwd=place,
            env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
        try:
            answer = ""
            deadline = time.monotonic() + 120
            while not answer and time.monotonic() < deadline:
                with suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{ui}/server_info", timeout=5) as page:
                    answer = page.read().decode()
                time.sleep(0.5)
            assert "dagster_webserver_version" in answer, output.read_text()
            assert is_listening(port())
            addresses = {
                connection.laddr.ip
                for child in psutil.Process(running.pid).children(recursive=True)
                for connection in child.net_connections("tcp")
                if connection.status == psutil.CONN_LISTEN
            }
            assert addresses <= {"127.0.0.1", "::1", "::ffff:127.0.0.1"}
            children = psutil.Process(running.pid).children(recursive=True)
        finally:
            running.send_signal(signal.SIGINT)
            running.wait(120)

    assert running.returncode == 0, output.read_text()
    assert not is_listening(port())
    assert not psutil.wait_procs(children, timeout=20)[1]
