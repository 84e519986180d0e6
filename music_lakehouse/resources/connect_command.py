"""The command of a Spark Connect server with what a lake needs of it; run as a module, this process becomes it."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Mapping
from pathlib import Path

import pyspark

from music_lakehouse.resources.spark import driver_settings, session_settings
from music_lakehouse.settings import Settings
from music_lakehouse.supervisor.program import environment

LOOPBACK = "127.0.0.1"
# A server that were told of another one would try to be its client.
SERVER_ENVIRONMENT: Mapping[str, str | None] = {
    "SPARK_REMOTE": None,
    "SPARK_CONNECT_MODE_ENABLED": None,
    "SPARK_HOME": str(Path(pyspark.__file__).parent),
    "PYSPARK_PYTHON": sys.executable,
}
_MAIN = "org.apache.spark.sql.connect.service.SparkConnectServer"


def command_line(
    port: int,
    *,
    bind: str = LOOPBACK,
    host: str = LOOPBACK,
    master: str = "local[*]",
    lake_root: str = "",
    settings: Mapping[str, str] | None = None,
) -> list[str]:
    """What starts the server on the port, from PySpark's own jars. It listens on the address `bind`; `host` is the name
    by which a cluster's executors find it, `lake_root` where the lake lies; `settings` go before the lake's own.
    Whoever reaches the port can do with the server what its user may."""
    given = {
        **session_settings(master),
        **driver_settings(master, lake_root),
        "spark.driver.bindAddress": bind,
        "spark.driver.host": host,
        "spark.connect.grpc.binding.address": bind,
        "spark.connect.grpc.binding.port": str(port),
        **(settings or {}),
    }
    options = [part for name, value in given.items() for part in ("--conf", f"{name}={value}")]
    submit = Path(pyspark.__file__).parent / "bin" / "spark-submit"
    return [str(submit), "--master", master, "--class", _MAIN, *options, "spark-internal"]


def main() -> None:
    """Become the server, on the master that SPARK_MASTER names, for the lake of LAKEHOUSE_ROOT."""
    parser = argparse.ArgumentParser(prog="python -m music_lakehouse.resources.connect_command", description=__doc__)
    parser.add_argument("--port", type=int, default=15002, help="where clients connect to")
    parser.add_argument("--bind", default=LOOPBACK, help="the address that it listens on")
    parser.add_argument("--host", default=LOOPBACK, help="the name by which a cluster's executors find it")
    given = parser.parse_args()
    settings = Settings()
    command = command_line(
        given.port, bind=given.bind, host=given.host, master=settings.spark_master, lake_root=settings.lake_uri
    )
    os.execve(command[0], command, environment(SERVER_ENVIRONMENT))


if __name__ == "__main__":
    main()
