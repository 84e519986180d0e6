"""A SQL database that others run: opened by its URL, its failures told apart without a word of its secrets."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import sqlalchemy as sa
from pydantic import SecretStr
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError, SQLAlchemyError
from sqlalchemy.pool import NullPool

T = TypeVar("T")
PATIENCE_SECONDS = 30.0
ANSWER_SECONDS = 10

# What the drivers say in words only: a failed log-in has no code yet.
_BUSY = ("database is locked", "table is locked", "schema is locked", "database is busy")
_REFUSED = ("authentication failed", "no password supplied", "no pg_hba.conf entry", "permission denied")
_MISSING = ("does not exist", "unable to open database file", "no such")
# Lock not available, deadlock, serialization failure, statement cancelled after its time.
_BUSY_STATES = {"55P03", "40P01", "40001", "57014"}


class DatabaseError(RuntimeError):
    """The database can't be read or written; the text is one line with the remedy, and has no password.

    `retriable` says whether the same call may succeed later with nothing changed: the database is down, restarts, or
    is locked by another program. Otherwise somebody must do what the text says. The driver's own error is not chained
    to it: that may hold the parameters of the connection.
    """

    def __init__(self, text: str, *, retriable: bool) -> None:
        super().__init__(text)
        self.retriable = retriable


class Database:
    """A database that SQLAlchemy knows, connected to anew for each piece of work.

    `setting` names what holds the URL, for the remedies. Whoever waits for a lock waits `patience` seconds at most.
    Raises DatabaseError where the URL makes no sense or its driver isn't installed.
    """

    def __init__(self, url: SecretStr, *, setting: str, patience: float = PATIENCE_SECONDS) -> None:
        opened = _opened(url, patience)
        if isinstance(opened, str):
            raise DatabaseError(f"{setting} {opened}", retriable=False)
        self._url, self._engine = opened
        self._setting = setting

    @property
    def dialect(self) -> str:
        """`sqlite`, `postgresql`, …"""
        return self._url.get_backend_name()

    @property
    def file(self) -> Path | None:
        """The file of an SQLite database; None for a server."""
        name = self._url.database
        return Path(name).absolute() if self.dialect == "sqlite" and name else None

    @property
    def name(self) -> str:
        """Which database it is, without user or password: `postgresql://host:5432/name`, `sqlite:///path`."""
        if self.file is not None:
            return f"sqlite:///{self.file}"
        host = self._url.host or self._url.query.get("host", "")
        port = f":{self._url.port}" if self._url.port else ""
        return f"{self.dialect}://{host}{port}/{self._url.database or ''}"

    def read(self, subject: str, work: Callable[[sa.Connection], T]) -> T:
        """What the work gives, done on one connection; nothing is committed.

        Raises DatabaseError, which names the subject (a table, say), where the database fails, or isn't there: it is
        never made by being read.
        """
        if self.file is not None and not self.file.exists():
            raise DatabaseError(
                f"{subject}: there is no database {self.file}: make it, or correct {self._setting}", retriable=False
            )
        return self._guarded(subject, work, self._engine.connect)

    def write(self, subject: str, work: Callable[[sa.Connection], T]) -> T:
        """What the work gives, done in one transaction: all of it or nothing. An SQLite file is made where there is
        none. Raises DatabaseError, which names the subject."""
        if self.file is not None:
            self.file.parent.mkdir(parents=True, exist_ok=True)
        return self._guarded(subject, work, self._engine.begin)

    def _guarded(
        self,
        subject: str,
        work: Callable[[sa.Connection], T],
        connect: Callable[[], AbstractContextManager[sa.Connection]],
    ) -> T:
        try:
            with connect() as connection:
                return work(connection)
        except SQLAlchemyError as error:
            failure = self._explained(subject, error)
        # Not inside the handler: there the driver's error would become the context of this one.
        raise failure

    def _explained(self, subject: str, error: SQLAlchemyError) -> DatabaseError:
        cause = error.orig if isinstance(error, DBAPIError) and error.orig is not None else error
        words = " ".join(str(cause).split())

        def failure(what: str, remedy: str, *, retriable: bool) -> DatabaseError:
            text = f"{subject}: the database {self.name} {what} ({words}): {remedy}"
            return DatabaseError(self._without_secrets(text), retriable=retriable)

        if any(text in words for text in _REFUSED):
            return failure("refuses access", f"correct the log-in of {self._setting}, or grant it", retriable=False)
        if any(text in words for text in _BUSY) or _state(cause) in _BUSY_STATES:
            return failure("is locked by another program", "run again; what was done before stays", retriable=True)
        if self.dialect != "sqlite" and _is_gone(error) and not any(text in words for text in _MISSING):
            remedy = f"see that it runs and that {self._setting} names it, then run again; what was done before stays"
            return failure("does not answer", remedy, retriable=True)
        return failure("can't do it", f"correct the database, or {self._setting}", retriable=False)

    def _without_secrets(self, text: str) -> str:
        secrets = [self._url.password, *(value for key, value in self._url.query.items() if "password" in key)]
        for secret in secrets:
            if secret:
                text = text.replace(str(secret), "***")
        return text


def _opened(url: SecretStr, patience: float) -> tuple[sa.URL, sa.Engine] | str:
    """The URL and an engine, or what is wrong with it. What SQLAlchemy says of a URL may hold a part of it."""
    try:
        parsed = sa.make_url(url.get_secret_value())
    except (ValueError, SQLAlchemyError):
        return (
            "is no URL that SQLAlchemy reads: give one as postgresql://user:password@host:5432/name or "
            "sqlite:///path, with the special characters of the password percent-encoded"
        )
    if parsed.drivername in ("postgres", "postgresql"):
        # SQLAlchemy's own choice is another one since 2.1; this is what Dagster's database needs as well.
        parsed = parsed.set(drivername="postgresql+psycopg2")
    try:
        engine = sa.create_engine(parsed, poolclass=NullPool, connect_args=_arguments(parsed, patience))
    except (ImportError, SQLAlchemyError) as error:
        return f"names {parsed.drivername}, which can't be loaded ({error}): install its driver, or name another"
    sa.event.listen(engine, "connect", partial(_prepare, parsed, patience))
    return parsed, engine


def _arguments(url: sa.URL, patience: float) -> dict[str, Any]:
    if url.get_backend_name() == "sqlite":
        return {"timeout": patience}
    if url.get_driver_name() in ("psycopg2", "psycopg"):
        return {"connect_timeout": ANSWER_SECONDS, "keepalives_idle": ANSWER_SECONDS, "keepalives_interval": 5}
    return {}


def _prepare(url: sa.URL, patience: float, connection: Any, record: object) -> None:
    del record
    if url.get_backend_name() == "sqlite":
        # One text that is not UTF-8 would end the reading of its table.
        connection.text_factory = partial(str, encoding="utf-8", errors="replace")
    elif url.get_backend_name() == "postgresql":
        cursor = connection.cursor()
        cursor.execute(f"SET lock_timeout = {round(patience * 1000)}; SET TIME ZONE 'UTC'")
        cursor.close()
        connection.commit()


def _is_gone(error: SQLAlchemyError) -> bool:
    return isinstance(error, (OperationalError, InterfaceError)) or (
        isinstance(error, DBAPIError) and error.connection_invalidated
    )


def _state(error: BaseException) -> str | None:
    return getattr(error, "pgcode", None) or getattr(error, "sqlstate", None)
