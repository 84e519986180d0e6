"""The operational database of a music service: users, artists, tracks, dates, and who streamed what.

Its tables are made where they are missing, filled, and then changed round by round as a service in use changes them.
Time in it is its own: it begins where the history ends, and goes on by an hour a round.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta, timezone
from itertools import islice
from random import Random
from typing import Any, TypeVar

import sqlalchemy as sa

from music_lakehouse.lakehouse.database import Database
from music_lakehouse.simulator.catalogue import Namer, catalogue
from music_lakehouse.simulator.weighted import Weighted, read_rows

T = TypeVar("T")
Row = dict[str, Any]

HISTORY_ENDS = datetime(2025, 1, 1, tzinfo=timezone.utc)
STREAMS_A_DAY = 10_000
ROUND = timedelta(hours=1)
LATEST = timedelta(hours=20)
"""How late a row may be committed, after the time that it carries."""
SHARED, LATE = 0.05, 0.05
"""Shares of the streams that have the time of the one before, and that are late."""
ROWS_A_STATEMENT = 10_000

SUBSCRIPTIONS = ("free", "premium", "family", "student")
COUNTRIES = ("United States", "Germany", "Brazil", "India", "Japan", "Sweden", "Nigeria", "Canada", "Mexico", "Poland")
GENRES = ("pop", "rock", "hip hop", "electronic", "jazz", "folk", "metal", "classical", "soul", "country")
DEVICES = ("mobile", "desktop", "tablet", "smart speaker", "car")


class Moment(sa.types.TypeDecorator[datetime]):
    """A time in UTC: a timestamp with time zone, in SQLite ISO text of one length, so that it sorts by time."""

    impl = sa.DateTime
    cache_ok = True

    def load_dialect_impl(self, dialect: sa.Dialect) -> sa.types.TypeEngine[Any]:
        return dialect.type_descriptor(sa.Text() if dialect.name == "sqlite" else sa.DateTime(timezone=True))

    def process_bind_param(self, value: datetime | None, dialect: sa.Dialect) -> Any:
        if value is None or dialect.name != "sqlite":
            return value
        return value.replace(tzinfo=None).isoformat(" ", "milliseconds")

    def process_result_value(self, value: Any, dialect: sa.Dialect) -> datetime | None:
        if value is None:
            return None
        moment = datetime.fromisoformat(value) if isinstance(value, str) else value
        return moment.replace(tzinfo=timezone.utc) if moment.tzinfo is None else moment.astimezone(timezone.utc)


METADATA = sa.MetaData()
USERS = sa.Table(
    "DimUser",
    METADATA,
    sa.Column("user_id", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("user_name", sa.Text),
    sa.Column("country", sa.Text),
    sa.Column("subscription_type", sa.Text),
    sa.Column("start_date", sa.Date),
    sa.Column("end_date", sa.Date),
    sa.Column("updated_at", Moment, index=True),
)
ARTISTS = sa.Table(
    "DimArtist",
    METADATA,
    sa.Column("artist_id", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("artist_name", sa.Text),
    sa.Column("genre", sa.Text),
    sa.Column("country", sa.Text),
    sa.Column("updated_at", Moment, index=True),
)
TRACKS = sa.Table(
    "DimTrack",
    METADATA,
    sa.Column("track_id", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("track_name", sa.Text),
    sa.Column("artist_id", sa.Integer),
    sa.Column("album_name", sa.Text),
    sa.Column("duration_sec", sa.Integer),
    sa.Column("release_date", sa.Date),
    sa.Column("updated_at", Moment, index=True),
)
DATES = sa.Table(
    "DimDate",
    METADATA,
    sa.Column("date_key", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("date", sa.Date),
    sa.Column("day", sa.Integer),
    sa.Column("month", sa.Integer),
    sa.Column("year", sa.Integer),
    sa.Column("weekday", sa.Text),
)
STREAMS = sa.Table(
    "FactStream",
    METADATA,
    sa.Column("stream_id", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("user_id", sa.Integer),
    sa.Column("track_id", sa.Integer),
    sa.Column("date_key", sa.Integer),
    sa.Column("listen_duration", sa.Integer),
    sa.Column("device_type", sa.Text),
    sa.Column("stream_timestamp", Moment, index=True),
)


@dataclass
class Counts:
    """Rows of one table that a call added, changed and deleted."""

    new: int = 0
    changed: int = 0
    deleted: int = 0


class Counted(defaultdict[str, Counts]):
    """Counts by table name, in which several calls add up."""

    def __init__(self) -> None:
        super().__init__(Counts)


def fill(
    database: Database,
    counted: Counted,
    *,
    streams: int,
    seed: int,
    until: datetime = HISTORY_ENDS,
    on_progress: Callable[[int], None] = lambda number: None,
) -> bool:
    """Make the tables that are missing, and fill all that are empty where FactStream is; say whether it was.

    The history ends at `until` and has 10,000 streams a day, so that it is longer with more of them. The same arguments
    give the same rows. All in one transaction, with memory for some thousand rows. `on_progress` is told the streams so
    far. Raises DatabaseError.
    """

    begin = until - timedelta(days=streams / STREAMS_A_DAY)

    def work(connection: sa.Connection) -> bool:
        if connection.dialect.name == "sqlite" and not sa.inspect(connection).get_table_names():
            # A new file, then: who reads it doesn't keep others from writing.
            connection.exec_driver_sql("PRAGMA journal_mode = WAL")
        METADATA.create_all(connection)
        if not _is_empty(connection, STREAMS):
            return False
        for table, rows in _dimensions(streams, seed, begin, until):
            if _is_empty(connection, table):
                _insert(connection, counted, table, rows)
        rng = Random(f"{seed}/{STREAMS.name}")
        service = _Service(rng, users=_greatest(connection, USERS), tracks=_greatest(connection, TRACKS))
        moments = _moments(rng, begin, until, streams)
        rows = (service.stream(number, at) for number, at in enumerate(moments, 1))
        _insert(connection, counted, STREAMS, rows, on_progress)
        return True

    return database.write("the catalogue", work)


def change(database: Database, counted: Counted, *, streams: int, seed: int) -> None:
    """An hour of a service in use, after what is there: so many new streams, and in proportion new users, artists and
    tracks, changed subscriptions, renamed tracks and deleted users.

    Some streams, and a user's change, are late: their time is up to 20 hours before that of rows committed earlier.
    Some share their time with the row before, or with the newest of the round before. The same seed gives the same
    changes of the same rows. In one transaction. Raises DatabaseError.
    """

    def work(connection: sa.Connection) -> None:
        last = _greatest(connection, STREAMS)
        before = _clock(connection)
        now = before + ROUND
        rng = Random(f"{seed}/{last}")
        users, artists, tracks = (_greatest(connection, table) for table in (USERS, ARTISTS, TRACKS))
        service = _Service(rng, users=users, tracks=tracks)
        deleted = 1 + streams // 500
        _insert(connection, counted, DATES, _dates(_last_date(connection), now))
        _change_users(connection, counted, service, 1 + streams // 100, before, now)
        _delete_users(connection, counted, service, deleted)
        _rename_tracks(connection, counted, service, 1 + streams // 200, now)
        _insert(connection, counted, USERS, (service.user(users + n, now) for n in range(1, deleted + 2)))
        _insert(connection, counted, ARTISTS, [service.artist(artists + 1, service.namer.word(), now)])
        _insert(connection, counted, TRACKS, [service.track(tracks + 1, service.namer.title(), artists + 1, now)])
        moments = (_late(rng, at) for at in _moments(rng, before, now, streams))
        _insert(connection, counted, STREAMS, (service.stream(last + n, at) for n, at in enumerate(moments, 1)))

    database.write("the catalogue", work)


class _Service:
    """Draws rows of a service with so many users and tracks, numbered from 1."""

    def __init__(self, rng: Random, *, users: int, tracks: int) -> None:
        self.rng = rng
        self.namer = Namer(rng)
        self.users = users
        self._tracks = tracks
        self._first_names = Weighted((row["name"], float(row["weight"])) for row in read_rows("first_names.csv"))
        self._surnames = Weighted((row["name"], float(row["weight"])) for row in read_rows("surnames.csv"))

    def one_of(self, values: Sequence[T]) -> T:
        return values[int(self.rng.random() * len(values))]

    def user(self, user_id: int, at: datetime) -> Row:
        return {
            "user_id": user_id,
            "user_name": f"{self._first_names.pick(self.rng)} {self._surnames.pick(self.rng)}",
            "country": self.one_of(COUNTRIES),
            "subscription_type": self.one_of(SUBSCRIPTIONS),
            "start_date": at.date(),
            "end_date": None,
            "updated_at": at,
        }

    def artist(self, artist_id: int, name: str, at: datetime) -> Row:
        return {
            "artist_id": artist_id,
            "artist_name": name,
            "genre": self.one_of(GENRES),
            "country": self.one_of(COUNTRIES),
            "updated_at": at,
        }

    def track(self, track_id: int, name: str, artist_id: int, at: datetime) -> Row:
        return {
            "track_id": track_id,
            "track_name": name,
            "artist_id": artist_id,
            "album_name": self.namer.title(),
            "duration_sec": 90 + int(self.rng.random() * 300),
            "release_date": at.date() - timedelta(days=int(self.rng.random() * 10_000)),
            "updated_at": at,
        }

    def stream(self, stream_id: int, at: datetime) -> Row:
        draw = self.rng.random
        return {
            "stream_id": stream_id,
            "user_id": 1 + int(draw() * self.users),
            # Low numbers are played more often.
            "track_id": 1 + int(draw() * draw() * self._tracks),
            "date_key": _date_key(at),
            "listen_duration": 5 + int(draw() * 355),
            "device_type": self.one_of(DEVICES),
            "stream_timestamp": at,
        }


def _dimensions(streams: int, seed: int, begin: datetime, until: datetime) -> Iterator[tuple[sa.Table, Iterator[Row]]]:
    """The tables but for the streams, with as many rows as fit so many streams."""
    songs = catalogue().songs[: max(50, streams // 50)]
    names = sorted({song.artist.name for song in songs})
    numbers = {name: number for number, name in enumerate(names, 1)}

    def rows(table: sa.Table, row: Callable[[_Service, int, T, datetime], Row], items: Sequence[T]) -> Iterator[Row]:
        service = _Service(Random(f"{seed}/{table.name}"), users=0, tracks=0)
        for number, item in enumerate(items, 1):
            yield row(service, number, item, _to_milliseconds(begin - timedelta(days=365 * service.rng.random())))

    users = range(max(20, streams // 200))
    yield DATES, _dates(date(begin.year - 1, 12, 31), until)
    yield USERS, rows(USERS, lambda service, number, _, at: service.user(number, at), users)
    yield ARTISTS, rows(ARTISTS, lambda service, number, name, at: service.artist(number, name, at), names)
    yield (
        TRACKS,
        rows(
            TRACKS,
            lambda service, number, song, at: service.track(number, song.title, numbers[song.artist.name], at),
            songs,
        ),
    )


def _change_users(
    connection: sa.Connection, counted: Counted, service: _Service, number: int, before: datetime, now: datetime
) -> None:
    """Other subscriptions, with the time of the round; the first two that can have an earlier one are late, or share
    the newest time of the round before."""
    earlier = [before - LATEST * service.rng.random(), before]
    changes = []
    for user in _some(connection, service, USERS, number):
        others = [each for each in SUBSCRIPTIONS if each != user["subscription_type"]]
        at = earlier.pop(0) if earlier and user["updated_at"] < earlier[0] else now
        subscription = service.one_of(others)
        changes.append(
            {
                "key": user["user_id"],
                "subscription_type": subscription,
                "end_date": at.date() if subscription == "free" else None,
                "updated_at": _to_milliseconds(at),
            }
        )
    _update(connection, counted, USERS, changes)


def _delete_users(connection: sa.Connection, counted: Counted, service: _Service, number: int) -> None:
    ids = [user["user_id"] for user in _some(connection, service, USERS, number)]
    counted[USERS.name].deleted += connection.execute(sa.delete(USERS).where(USERS.c.user_id.in_(ids))).rowcount


def _rename_tracks(connection: sa.Connection, counted: Counted, service: _Service, number: int, now: datetime) -> None:
    tracks = _some(connection, service, TRACKS, number)
    changes = [{"key": t["track_id"], "track_name": service.namer.title(), "updated_at": now} for t in tracks]
    _update(connection, counted, TRACKS, changes)


def _some(connection: sa.Connection, service: _Service, table: sa.Table, number: int) -> list[Row]:
    """About so many rows of the table, by chance; fewer where rows were deleted."""
    key = _key(table)
    last = _greatest(connection, table)
    wanted = {1 + int(service.rng.random() * last) for _ in range(number)}
    found = connection.execute(sa.select(table).where(key.in_(sorted(wanted))).order_by(key))
    return [dict(row) for row in found.mappings()]


def _update(connection: sa.Connection, counted: Counted, table: sa.Table, changes: list[Row]) -> None:
    if changes:
        connection.execute(sa.update(table).where(_key(table) == sa.bindparam("key")), changes)
        counted[str(table.name)].changed += len(changes)


def _insert(
    connection: sa.Connection,
    counted: Counted,
    table: sa.Table,
    rows: Iterable[Row],
    on_progress: Callable[[int], None] = lambda number: None,
) -> None:
    remaining = iter(rows)
    while batch := list(islice(remaining, ROWS_A_STATEMENT)):
        connection.execute(sa.insert(table), batch)
        counted[table.name].new += len(batch)
        on_progress(counted[table.name].new)


def _moments(rng: Random, begin: datetime, end: datetime, number: int) -> Iterator[datetime]:
    """So many times after `begin` and up to `end`, in order, some of them the same as the one before."""
    step = (end - begin) / max(number, 1)
    last = begin
    for n in range(number):
        if rng.random() >= SHARED:
            last = _to_milliseconds(begin + step * (n + rng.random()))
        yield last


def _late(rng: Random, at: datetime) -> datetime:
    return _to_milliseconds(at - LATEST * rng.random()) if rng.random() < LATE else at


def _dates(after: date, until: datetime) -> Iterator[Row]:
    """The days after the given one, to the end of the year of `until`."""
    for number in range(1, (date(until.year, 12, 31) - after).days + 1):
        day = after + timedelta(days=number)
        yield {
            "date_key": _date_key(day),
            "date": day,
            "day": day.day,
            "month": day.month,
            "year": day.year,
            "weekday": day.strftime("%A"),
        }


def _clock(connection: sa.Connection) -> datetime:
    """The newest time in the database."""
    columns = (USERS.c.updated_at, ARTISTS.c.updated_at, TRACKS.c.updated_at, STREAMS.c.stream_timestamp)
    newest = [connection.execute(sa.select(sa.func.max(column, type_=Moment()))).scalar() for column in columns]
    return max((moment for moment in newest if moment is not None), default=HISTORY_ENDS)


def _last_date(connection: sa.Connection) -> date:
    last: date | None = connection.execute(sa.select(sa.func.max(DATES.c.date))).scalar()
    return last or HISTORY_ENDS.date()


def _greatest(connection: sa.Connection, table: sa.Table) -> int:
    greatest: int | None = connection.execute(sa.select(sa.func.max(_key(table)))).scalar()
    return greatest or 0


def _is_empty(connection: sa.Connection, table: sa.Table) -> bool:
    return connection.execute(sa.select(_key(table)).limit(1)).first() is None


def _key(table: sa.Table) -> sa.Column[int]:
    [key] = table.primary_key.columns
    return key


def _date_key(day: date) -> int:
    return day.year * 10_000 + day.month * 100 + day.day


def _to_milliseconds(at: datetime) -> datetime:
    return at.replace(microsecond=at.microsecond // 1000 * 1000)
