"""Plain messages to events, in DuckDB's words: a tenth of the time that Spark takes to parse them.

Nearly all messages are plain: a flat JSON object of less than 1,000 bytes, in which each name is a column's and is
there once, and each value has the JSON type of its column or is null. Of what is not surely plain, `events.parse`
decides.
"""

from __future__ import annotations

import json

from music_lakehouse.defs.listening.tables import BRONZE, EVENT_FIELDS, RAW
from music_lakehouse.defs.listening.transforms.events import EARLIEST, IS_OBJECT, LATEST, rules
from music_lakehouse.defs.listening.transforms.text import key_of
from music_lakehouse.lakehouse.tables import Column

IS_VALID = "_is_valid"

_TYPES = {"BIGINT": "BIGINT", "INT": "INTEGER", "DOUBLE": "DOUBLE", "BOOLEAN": "BOOLEAN", "STRING": "VARCHAR"}
_INTEGERS = ("UBIGINT", "BIGINT")
_SENT_AS = {
    "BIGINT": _INTEGERS,
    "INT": _INTEGERS,
    "DOUBLE": (*_INTEGERS, "DOUBLE"),
    "BOOLEAN": ("BOOLEAN",),
    "STRING": ("VARCHAR",),
}
# A longer message may have a number that Spark's parser finds too long.
_MOST_BYTES = 1_000


def plain_events(topic: str) -> str:
    """A query over `{raw}`, raw rows of the topic: one row a message, with `_is_valid`.

    Where that is true the message is plain and keeps all rules, and the row has bronze's columns, with the values that
    `events.parse` gives. Where it is false the row has raw's.
    """
    fields = EVENT_FIELDS[topic]
    structure = json.dumps({field.name: _TYPES[field.type] for field in fields})
    paths = ", ".join(f"'$.{field.name}'" for field in fields)
    # A null that was sent is a name too, but no value.
    known = " + ".join(
        f"CAST(_typed.{field.name} IS NOT NULL OR coalesce({_sent_type(number)} = 'NULL', false) AS INT)"
        for number, field in enumerate(fields, 1)
    )
    fitting = " AND ".join(_fits(number, field) for number, field in enumerate(fields, 1))
    kept = " AND ".join(f"coalesce({rule.predicate}, false)" for rule in rules(topic))
    events = {
        "bronze_id": _key("kafka_topic_id", "kafka_partition", "kafka_offset"),
        "event_id": _key("userId", "sessionId", "itemInSession", "ts"),
        "timestamp": _instant("ts"),
        "registration_time": _instant("registration"),
        "latitude": "lat",
        "longitude": "lon",
        "_rescued_data": "NULL",
        "ingestion_date": "CAST(ingestion_timestamp AS DATE)",
    }
    in_bronze = [name for name in BRONZE[topic].column_names if name not in RAW[topic].column_names]
    in_raw = [name for name in RAW[topic].column_names if name not in BRONZE[topic].column_names]
    values = ", ".join(f'{events.get(name, name)} AS "{name}"' for name in in_bronze)
    as_it_came = ", ".join(f'CASE WHEN NOT {IS_VALID} THEN "{name}" END AS "{name}"' for name in in_raw)
    both = ", ".join(name for name in RAW[topic].column_names if name not in in_raw)
    return f"""
        WITH looked_at AS (
            SELECT *, TRY(json_keys(value)) AS _keys, TRY(json_type(value, [{paths}])) AS _types,
                   TRY(json_transform(value, '{_escaped(structure)}')) AS _typed
            FROM {{raw}}
        ),
        judged AS (
            SELECT *, coalesce(
                strlen(value) < {_MOST_BYTES} AND len(_keys) = {known} AND {fitting}
                AND NOT regexp_matches(value, ',\\s*\\}}}}\\s*$'), false) AS _is_plain
            FROM looked_at
        ),
        typed AS (
            SELECT *, true AS {IS_OBJECT}, {", ".join(f"{_value(field)} AS {field.name}" for field in fields)}
            FROM judged
        ),
        marked AS (SELECT *, _is_plain AND {kept} AS {IS_VALID} FROM typed)
        SELECT {IS_VALID}, {both}, {as_it_came}, {values} FROM marked
    """


def _sent_type(number: int) -> str:
    return f"_types[{number}]"


def _fits(number: int, field: Column) -> str:
    allowed = ", ".join(f"'{type_}'" for type_ in (*_SENT_AS[field.type], "NULL"))
    fits = f"({_sent_type(number)} IS NULL OR {_sent_type(number)} IN ({allowed}))"
    # DuckDB reads NaN and Infinity, which are no JSON.
    return f"{fits} AND coalesce(isfinite(_typed.{field.name}), true)" if field.type == "DOUBLE" else fits


def _value(field: Column) -> str:
    sent = f"CASE WHEN _is_plain THEN _typed.{field.name} END"
    if field.name == "level":
        # No other letters than these, which lower-case might make of some, and no other blanks.
        known = f"regexp_full_match({sent}, ' *(?i:free|paid) *')"
        return f"CASE WHEN {known} AND strlen({sent}) = length({sent}) THEN lower(trim({sent}, ' ')) END"
    return f"nullif({sent}, '')" if field.type == "STRING" else sent


def _key(*names: str) -> str:
    return key_of(*(f"CAST({name} AS VARCHAR)" for name in names))


def _instant(milliseconds: str) -> str:
    instant = f"CAST(epoch_ms({milliseconds}) AS TIMESTAMPTZ)"
    return f"CASE WHEN {milliseconds} BETWEEN {EARLIEST} AND {LATEST} THEN {instant} END"


def _escaped(text: str) -> str:
    """For what is formatted later."""
    return text.replace("{", "{{").replace("}", "}}")
