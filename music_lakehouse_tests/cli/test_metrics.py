"""`music-lakehouse metrics`: printed once, and served over HTTP until it is told to stop."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
import requests
from prometheus_client.parser import text_string_to_metric_families

from music_lakehouse.simulator.broker import free_port
from music_lakehouse_tests.cli.conftest import Command


def rows(text: str) -> dict[str, float]:
    [family] = [f for f in text_string_to_metric_families(text) if f.name == "music_lakehouse_table_rows"]
    return {sample.labels["table"]: sample.value for sample in family.samples}


@pytest.mark.thorough
@pytest.mark.usefixtures("lake")
def test_it_prints_the_figures_once(command: Command) -> None:
    ran = command("metrics")

    assert ran.code == 0
    assert rows(ran.out) == {"silver.dim_users": 3, "gold.fact_streams": 4}


def test_a_port_that_is_taken_is_said_at_once(command: Command) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        ran = command("metrics", "--serve", str(taken.getsockname()[1]))

    assert ran.code == 1
    assert "choose another with --serve" in ran.error


@pytest.mark.thorough
@pytest.mark.parametrize("ended_by", [signal.SIGINT, signal.SIGTERM])
def test_it_is_scraped_over_http_on_the_loopback_without_a_jvm_until_it_is_stopped(
    lake: Path, process: Callable[..., subprocess.Popen[str]], ended_by: signal.Signals
) -> None:
    assert lake.is_dir()
    port = free_port()
    with process("metrics", "--serve", str(port)) as served:
        try:
            line = next(line for line in iter(served.stdout or ()) if "/metrics" in line)
            assert f"http://127.0.0.1:{port}/metrics" in line
            first = requests.get(f"http://127.0.0.1:{port}/metrics", timeout=20)
            again = requests.get(f"http://127.0.0.1:{port}/metrics", timeout=20)

            assert first.headers["Content-Type"].startswith("text/plain")
            assert rows(first.text) == {"silver.dim_users": 3, "gold.fact_streams": 4}
            assert again.text == first.text, "asked for again within five seconds"
            of_process = psutil.Process(served.pid)
            assert of_process.children(recursive=True) == []
            listening = [c.laddr.ip for c in of_process.net_connections("inet") if c.status == psutil.CONN_LISTEN]
            assert listening == ["127.0.0.1"]
            os.kill(served.pid, ended_by)
            assert served.wait(20) == 0
        finally:
            served.kill()
