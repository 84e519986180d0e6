from __future__ import annotations

import logging
import sqlite3
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from pydantic import SecretStr

from music_lakehouse.lakehouse.database import Database, DatabaseError
from music_lakehouse.lakehouse.landing import Landing
from music_lakehouse.lakehouse.sql_source import extract
from music_lakehouse_tests.lakehouse.sources import USERS, Source
from music_lakehouse_tests.postgres import PASSWORD, Postgres

pytestmark = pytest.mark.thorough


def database(url: SecretStr | str) -> Database:
    return Database(
        url if isinstance(url, SecretStr) else SecretStr(url), setting="CATALOGUE_DATABASE_URL", patience=0.2
    )


def one(connection: sa.Connection) -> int:
    return int(connection.execute(sa.text("SELECT 1")).scalar_one())


def failure(call: Callable[[], object]) -> DatabaseError:
    with pytest.raises(DatabaseError) as caught:
        call()
    return caught.value


def everything_said(error: BaseException) -> str:
    """The error with all that is chained to it, as tracebacks and as values."""
    chain: list[BaseException] = []
    following: BaseException | None = error
    while following is not None:
        chain.append(following)
        following = following.__cause__ or following.__context__
    return "\n".join(
        "".join(traceback.TracebackException.from_exception(each, capture_locals=False).format()) + repr(each.__dict__)
        for each in chain
    )


@pytest.fixture
def nothing_says_the_password(caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]) -> Iterator[None]:
    """No log, at any level, and no output."""
    caplog.set_level(logging.DEBUG)
    yield
    said = caplog.text + "".join(capfd.readouterr())
    assert PASSWORD not in said
    assert "tr0ub4dor" not in said


@pytest.mark.usefixtures("nothing_says_the_password")
def test_a_refused_log_in_is_permanent_and_keeps_the_password_to_itself(postgres: Postgres) -> None:
    url = postgres.new_database()
    name = sa.make_url(url.get_secret_value()).database
    assert name is not None
    error = failure(lambda: database(postgres.url(name, password=PASSWORD + "!")).read("DimUser", one))

    assert not error.retriable
    assert str(error).startswith("DimUser: the database postgresql://")
    assert "correct the log-in of CATALOGUE_DATABASE_URL" in str(error)
    assert "tr0ub4dor" not in everything_said(error)


@pytest.mark.usefixtures("nothing_says_the_password")
def test_a_database_that_is_not_there_is_permanent(postgres: Postgres) -> None:
    error = failure(lambda: database(postgres.url("nowhere")).read("DimUser", one))

    assert not error.retriable
    assert 'database "nowhere" does not exist' in str(error)
    assert "tr0ub4dor" not in everything_said(error)


@pytest.mark.usefixtures("nothing_says_the_password")
def test_a_server_that_is_down_is_worth_another_try(postgres: Postgres) -> None:
    opened = database(postgres.new_database())
    postgres.stop()
    try:
        error = failure(lambda: opened.read("DimUser", one))
    finally:
        postgres.start()

    assert error.retriable
    assert "does not answer" in str(error)
    assert "tr0ub4dor" not in everything_said(error)
    assert opened.read("DimUser", one) == 1


def test_a_table_locked_by_another_is_worth_another_try(postgres: Postgres, landing: Landing) -> None:
    source = Source(postgres.new_database())
    source.put((1, "Ann", "2024-01-01 12:00:00"))

    def meanwhile(connection: sa.Connection) -> DatabaseError:
        connection.exec_driver_sql('LOCK TABLE "DimUser" IN ACCESS EXCLUSIVE MODE')
        return failure(lambda: extract(source.database, USERS, landing))

    error = source.database.write("the test", meanwhile)

    assert error.retriable
    assert "DimUser: the database" in str(error)
    assert "is locked by another program" in str(error)
    assert extract(source.database, USERS, landing).landed == 1


def test_an_sqlite_file_locked_by_another_is_worth_another_try(tmp_path: Path, landing: Landing) -> None:
    source = Source(SecretStr(f"sqlite:///{tmp_path}/source.db"))
    source.put((1, "Ann", "2024-01-01 12:00:00"))
    other = sqlite3.connect(tmp_path / "source.db", isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    error = failure(lambda: extract(source.database, USERS, landing))
    other.close()

    assert error.retriable
    assert "is locked by another program" in str(error)
    assert extract(source.database, USERS, landing).landed == 1


def test_a_file_that_is_no_database_and_one_that_is_not_there_are_permanent(tmp_path: Path) -> None:
    (tmp_path / "text.db").write_text("not a database, but long enough to be taken for the header of one" * 20)
    broken = failure(lambda: database(f"sqlite:///{tmp_path}/text.db").read("DimUser", one_table))
    missing = failure(lambda: database(f"sqlite:///{tmp_path}/none.db").read("DimUser", one))

    assert not broken.retriable
    assert "file is not a database" in str(broken)
    assert not missing.retriable
    assert not (tmp_path / "none.db").exists()


def one_table(connection: sa.Connection) -> list[str]:
    return sa.inspect(connection).get_table_names()


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("tr0ub4dor", "is no URL that SQLAlchemy reads"),
        ("postgresql://app:tr0ub4dor@host:tr0ub4dor/name", "is no URL that SQLAlchemy reads"),
        ("oracle://app:tr0ub4dor@host/name", "names oracle, which can't be loaded"),
        ("unheard://app:tr0ub4dor@host/name", "names unheard, which can't be loaded"),
    ],
)
def test_a_url_that_makes_no_sense_is_told_without_its_words(url: str, said: str) -> None:
    error = failure(lambda: database(url))

    assert not error.retriable
    assert str(error).startswith(f"CATALOGUE_DATABASE_URL {said}")
    assert "tr0ub4dor" not in everything_said(error)


def test_a_name_has_neither_user_nor_password(tmp_path: Path) -> None:
    assert database("postgresql://app:tr0ub4dor@host:5432/music").name == "postgresql://host:5432/music"
    assert database(f"sqlite:///{tmp_path}/x.db").name == f"sqlite:///{tmp_path}/x.db"


def test_a_write_is_done_in_whole_or_not_at_all(source: Source) -> None:
    def half(connection: sa.Connection) -> None:
        connection.exec_driver_sql("INSERT INTO \"DimUser\" VALUES (1, 'Ann', NULL)")
        connection.exec_driver_sql("INSERT INTO nowhere VALUES (1)")

    failure(lambda: source.database.write("the test", half))

    assert source.rows(USERS) == {}
