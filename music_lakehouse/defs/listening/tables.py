"""The listening tables' declarations: raw and bronze. Silver and gold have modules of their own."""

from __future__ import annotations

from music_lakehouse.lakehouse.kafka_ingest import RAW_COLUMNS
from music_lakehouse.lakehouse.kafka_positions import MESSAGE
from music_lakehouse.lakehouse.tables import Column, Sources, Table, columns_of, traced

TS = Column("ts", "BIGINT", "when it happened, epoch milliseconds UTC")
_CONTEXT = (
    TS,
    Column("sessionId", "BIGINT", "the session; the producer counts from 1 in each of its runs"),
    Column("itemInSession", "INT", "the event's number in its session, from 0"),
    Column("level", "STRING", "subscription: free or paid"),
)
_PLACE = (
    Column("city", "STRING", "the device's city"),
    Column("state", "STRING", "the device's state, two letters"),
    Column("zip", "STRING", "the device's ZIP code, leading zeros kept", pii=True),
    Column("lat", "DOUBLE", "degrees north", pii=True),
    Column("lon", "DOUBLE", "degrees east", pii=True),
    Column("userAgent", "STRING", "the device's user agent"),
)
_USER = (
    Column("userId", "BIGINT", "the user; missing where the user is hidden (not logged in)", pseudonym=True),
    Column("firstName", "STRING", "the user's first name", pii=True),
    Column("lastName", "STRING", "the user's last name", pii=True),
    Column("gender", "STRING", "F or M"),
    Column("registration", "BIGINT", "when the user registered, epoch milliseconds UTC"),
    Column("tag", "STRING", "label of an A/B test"),
)
_AUTH = (Column("auth", "STRING", "Guest, Logged In, Logged Out or Cancelled"),)
_SONG = (
    Column("artist", "STRING", "the artist's name as sent"),
    Column("song", "STRING", "the song's title as sent"),
    Column("duration", "DOUBLE", "the song's length in seconds"),
)
_PAGE = (
    Column("page", "STRING", "the page, for example NextSong"),
    Column("method", "STRING", "HTTP method"),
    Column("status", "INT", "HTTP status"),
)

EVENT_FIELDS: dict[str, tuple[Column, ...]] = {
    "listen_events": (*_CONTEXT, *_USER, *_AUTH, *_SONG, *_PLACE),
    "page_view_events": (*_CONTEXT, *_USER, *_AUTH, *_PAGE, *_SONG, *_PLACE),
    "auth_events": (*_CONTEXT, *_USER, Column("success", "BOOLEAN", "whether the log-in succeeded"), *_PLACE),
    "status_change_events": (*_CONTEXT, *_USER, *_AUTH, *_PLACE),
}
"""The fields of each topic's events, with the types in which bronze keeps them."""

_KAFKA = (
    Column("kafka_timestamp", "TIMESTAMP", "Kafka's time of the message, UTC"),
    Column("kafka_topic", "STRING", "the topic's name"),
    Column("kafka_topic_id", "STRING", "the broker's id of the topic"),
    Column("kafka_partition", "INT", "the partition"),
    Column("kafka_offset", "BIGINT", "the offset in the partition"),
)
# The keys and what files are pruned by come first: Delta keeps statistics of a table's first 32 columns.
_IDENTITY = (
    Column("bronze_id", "STRING", "the row: key of topic id, partition and offset"),
    Column(
        "event_id",
        "STRING",
        "the event, whatever its delivery: key of userId, sessionId, itemInSession and ts",
        pseudonym=True,
    ),
    Column("timestamp", "TIMESTAMP", "`ts` as a timestamp, UTC"),
)
_DERIVED = (
    Column("registration_time", "TIMESTAMP", "`registration` as a timestamp, UTC"),
    Column("latitude", "DOUBLE", "degrees north", pii=True),
    Column("longitude", "DOUBLE", "degrees east", pii=True),
    Column("_rescued_data", "STRING", "fields that no column knows or that don't fit their type, as JSON", pii=True),
    Column("ingestion_date", "DATE", "the day on which the message was read, UTC"),
)

RAW: dict[str, Table] = {
    name: Table(
        layer="raw",
        name=name,
        description=f"One row a Kafka message of the topic {name}, unparsed. Every message exactly once.",
        columns=RAW_COLUMNS,
        key=MESSAGE,
    )
    for name in EVENT_FIELDS
}


def _of_raw(*names: str, topics: tuple[str, ...] = tuple(RAW)) -> Sources:
    return tuple(source for topic in topics for source in columns_of(RAW[topic], *names))


def _bronze_sources(topic: str) -> dict[str, Sources]:
    as_in_raw = {column.name: _of_raw(column.name, topics=(topic,)) for column in _KAFKA}
    from_the_value = {
        column.name: _of_raw("value", topics=(topic,)) for column in (*_IDENTITY, *EVENT_FIELDS[topic], *_DERIVED)
    }
    return {
        **as_in_raw,
        **from_the_value,
        "bronze_id": _of_raw(*MESSAGE, topics=(topic,)),
        "ingestion_date": _of_raw("ingestion_timestamp", topics=(topic,)),
    }


BRONZE: dict[str, Table] = {
    name: Table(
        layer="bronze",
        name=name,
        description=f"One row a valid message of raw.{name}, parsed and typed; text as sent.",
        columns=traced((*_IDENTITY, *_KAFKA, *fields, *_DERIVED), _bronze_sources(name)),
        key=("bronze_id",),
        partition_by=("ingestion_date",),
    )
    for name, fields in EVENT_FIELDS.items()
}

QUARANTINE = Table(
    layer="bronze",
    name="quarantine",
    description="One row a message that bronze refused, as it came, with all the reasons.",
    columns=traced(
        (
            Column("topic", "STRING", "the topic, without KAFKA_TOPIC_PREFIX"),
            Column("kafka_topic_id", "STRING", "the broker's id of the topic"),
            Column("kafka_partition", "INT", "the partition"),
            Column("kafka_offset", "BIGINT", "the offset in the partition"),
            Column("kafka_timestamp", "TIMESTAMP", "Kafka's time of the message, UTC"),
            Column("value", "STRING", "the message as text; null for a tombstone, and where it is not UTF-8", pii=True),
            Column("reasons", "ARRAY<STRING>", "the names of all rules that the message breaks"),
            Column("ingestion_timestamp", "TIMESTAMP", "when the message was read, UTC"),
        ),
        {
            "topic": _of_raw("kafka_topic"),
            "kafka_topic_id": _of_raw("kafka_topic_id"),
            "kafka_partition": _of_raw("kafka_partition"),
            "kafka_offset": _of_raw("kafka_offset"),
            "kafka_timestamp": _of_raw("kafka_timestamp"),
            "value": _of_raw("value"),
            "reasons": _of_raw("value", "kafka_timestamp"),
            "ingestion_timestamp": _of_raw("ingestion_timestamp"),
        },
    ),
    key=MESSAGE,
)

REFERENCE_SONGS = Table(
    layer="bronze",
    name="reference_songs",
    description="One row a distinct row of songs.csv, typed and with cleaned names. Always equal to the file.",
    columns=(
        Column("row_id", "STRING", "key of all of the row's columns"),
        Column("songKey", "STRING", "key of cleaned title and artist name"),
        Column("artistKey", "STRING", "key of the cleaned artist name"),
        Column("song_id", "STRING", "Million Song id of the song"),
        Column("title", "STRING", "the song's title, cleaned"),
        Column("artist_name", "STRING", "the artist's name, cleaned"),
        Column("duration", "DOUBLE", "seconds"),
        Column("key", "INT", "musical key, 0 (C) to 11 (B)"),
        Column("key_confidence", "DOUBLE", "0 to 1"),
        Column("loudness", "DOUBLE", "decibels"),
        Column("song_hotttnesss", "DOUBLE", "0 to 1"),
        Column("tempo", "DOUBLE", "beats a minute"),
        Column("year", "INT", "year of release"),
        Column("artist_id", "STRING", "Million Song id of the artist"),
        Column("artist_latitude", "DOUBLE", "degrees north"),
        Column("artist_longitude", "DOUBLE", "degrees east"),
        Column("artist_location", "STRING", "where the artist is from, cleaned"),
    ),
    key=("row_id",),
)

REFERENCE_STATES = Table(
    layer="bronze",
    name="reference_states",
    description="One row a state of state_codes.csv. Always equal to the file.",
    columns=(
        Column("stateCode", "STRING", "two letters"),
        Column("stateName", "STRING", "the state's name"),
    ),
    key=("stateCode",),
)
