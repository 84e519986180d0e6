"""What the catalogue's rows tell of: the columns of each table, and what a row needs."""

from __future__ import annotations

from dataclasses import dataclass

from music_lakehouse.defs.catalogue.source import SOURCE_TABLES
from music_lakehouse.lakehouse.sql_source import SourceTable
from music_lakehouse.lakehouse.tables import Column

UPDATED_AT = "updated_at"


@dataclass(frozen=True)
class Entity:
    """The rows of one table of the source, from bronze on: its columns under their own names, those that no row can do
    without beside its key, those that have to be above zero, and those whose text is shown in upper case."""

    name: str
    noun: str
    columns: tuple[Column, ...]
    required: tuple[str, ...]
    positive: tuple[str, ...] = ()
    upper: tuple[str, ...] = ()

    def __hash__(self) -> int:
        return hash(self.name)

    @property
    def source(self) -> SourceTable:
        return SOURCE_TABLES[self.name]

    @property
    def key(self) -> str:
        return self.source.key

    @property
    def column_names(self) -> list[str]:
        return [column.name for column in self.columns]


_UPDATED_AT = Column(UPDATED_AT, "TIMESTAMP", "when the row was changed last, as the source says, UTC")

USERS = Entity(
    "catalogue_users",
    "user",
    (
        Column("user_id", "BIGINT", "the user", pseudonym=True),
        Column("user_name", "STRING", "the user's name; from silver on in upper case", pii=True),
        Column("country", "STRING", "the user's country"),
        Column("subscription_type", "STRING", "for example free, premium, family or student"),
        Column("start_date", "DATE", "when the subscription began"),
        Column("end_date", "DATE", "when a paid subscription ended; null while it holds"),
        _UPDATED_AT,
    ),
    required=(UPDATED_AT,),
    upper=("user_name",),
)
ARTISTS = Entity(
    "catalogue_artists",
    "artist",
    (
        Column("artist_id", "BIGINT", "the artist"),
        Column("artist_name", "STRING", "the artist's name"),
        Column("genre", "STRING", "what the artist plays"),
        Column("country", "STRING", "where the artist is from"),
        _UPDATED_AT,
    ),
    required=(UPDATED_AT,),
)
TRACKS = Entity(
    "catalogue_tracks",
    "track",
    (
        Column("track_id", "BIGINT", "the track"),
        Column("track_name", "STRING", "its title"),
        Column("artist_id", "BIGINT", "who plays it"),
        Column("album_name", "STRING", "the album that it is on"),
        Column("duration_sec", "INT", "how long it is, in seconds"),
        Column("release_date", "DATE", "when it was released"),
        _UPDATED_AT,
    ),
    required=(UPDATED_AT,),
    positive=("duration_sec",),
)
DATES = Entity(
    "catalogue_dates",
    "day",
    (
        Column("date_key", "BIGINT", "the day as the number YYYYMMDD"),
        Column("date", "DATE", "the day"),
        Column("day", "INT", "day of the month"),
        Column("month", "INT", "month, 1 to 12"),
        Column("year", "INT", "year"),
        Column("weekday", "STRING", "day of the week, for example Monday"),
    ),
    required=("date",),
)
STREAMS = Entity(
    "catalogue_streams",
    "stream",
    (
        Column("stream_id", "BIGINT", "the stream"),
        Column("user_id", "BIGINT", "who listened", pseudonym=True),
        Column("track_id", "BIGINT", "what was listened to"),
        Column("date_key", "BIGINT", "the day, as the number YYYYMMDD"),
        Column("listen_duration", "INT", "how long was listened, in seconds"),
        Column("device_type", "STRING", "for example mobile, desktop or car"),
        Column("stream_timestamp", "TIMESTAMP", "when it was listened to, UTC"),
    ),
    required=("date_key", "stream_timestamp"),
    positive=("listen_duration",),
)
ENTITIES = (USERS, ARTISTS, TRACKS, DATES, STREAMS)
DIMENSIONS = tuple(entity for entity in ENTITIES if entity.source.scd_type == 2)
"""Those whose history is kept."""
OF_A_STREAM = (USERS, ARTISTS, TRACKS)
"""Those of whom a stream shows the version that held."""
