"""Nothing that the platform starts by itself is reached from another machine."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from ast import literal_eval
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
import requests

from music_lakehouse.cli.embedded import is_listening
from music_lakehouse.resources.connect_server import ConnectServer
from music_lakehouse.simulator.broker import free_port
from music_lakehouse_tests.cli.place import Place
from music_lakehouse_tests.listening import listening

LOOPBACK = {"127.0.0.1", "::1"}
SPARK = """
import psutil
from music_lakehouse.resources.spark import SparkResource
from music_lakehouse_tests.listening import listening

resource = SparkResource(master="local[2]")
assert resource.spark_session.range(1000).repartition(2).count() == 1000
print(listening(psutil.Process()))
resource.close()
"""


@pytest.mark.slow
@pytest.mark.kafka
@pytest.mark.thorough
def test_what_dev_starts_listens_on_the_loopback_only(tmp_path: Path) -> None:
    kafka, port = free_port(), free_port()
    place = Place(tmp_path, {"KAFKA_BOOTSTRAP_SERVERS": f"127.0.0.1:{kafka}", "DAGSTER_HOME": str(tmp_path / "home")})
    dev = place.start("dev", "--port", str(port))
    try:
        _until(lambda: is_listening(port) and requests.get(f"http://127.0.0.1:{port}/server_info", timeout=60).ok)
        found = listening(psutil.Process(dev.pid))
        ports = {
            connection.laddr.port
            for process in psutil.Process(dev.pid).children(recursive=True)
            for connection in process.net_connections(kind="inet")
            if connection.status == psutil.CONN_LISTEN
        }
    finally:
        dev.send_signal(signal.SIGINT)
        dev.communicate(timeout=120)

    assert "java" in found, "the broker is one of the processes that were looked at"
    assert ports >= {kafka, port}
    assert {name: addresses - LOOPBACK for name, addresses in found.items() if addresses - LOOPBACK} == {}


@pytest.mark.kafka
@pytest.mark.thorough
def test_the_dashboard_listens_on_the_loopback_only(tmp_path: Path) -> None:
    pytest.importorskip("streamlit")
    port = free_port()
    dashboard = Place(tmp_path, {}).start("dashboard", "--port", str(port))
    try:
        _until(lambda: is_listening(port))
        found = listening(psutil.Process(dashboard.pid))
    finally:
        dashboard.terminate()
        dashboard.communicate(timeout=60)

    assert set().union(*found.values()) == {"127.0.0.1"}


@pytest.mark.spark
def test_a_runs_spark_listens_on_the_loopback_only() -> None:
    done = subprocess.run([sys.executable, "-c", SPARK], capture_output=True, text=True, check=False, timeout=300)

    assert done.returncode == 0, done.stderr[-3000:]
    found: dict[str, set[str]] = literal_eval(done.stdout)
    assert found["java"], "the driver, its blocks and the door for Python"
    assert set().union(*found.values()) <= LOOPBACK


@pytest.mark.spark
def test_a_spark_connect_server_listens_on_the_loopback_only(tmp_path: Path) -> None:
    with ConnectServer(tmp_path, free_port(), master="local[1]") as server:
        assert server.is_well()
        found = listening(psutil.Process())

    assert found["java"]
    assert found["java"] <= LOOPBACK


def _until(look: Callable[[], bool], *, seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while not look():
        assert time.monotonic() < deadline, f"nothing after {seconds} s"
        time.sleep(0.5)
