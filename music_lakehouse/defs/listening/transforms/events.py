"""Messages to events: raw rows to bronze rows and quarantine rows."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import reduce

from pyspark.sql import Column as SparkColumn
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from music_lakehouse.defs.listening.tables import BRONZE, EVENT_FIELDS, QUARANTINE
from music_lakehouse.defs.listening.transforms.text import decimal_number, key, trimmed
from music_lakehouse.lakehouse.expectations import FAILED_RULES, Action, Rule, mark
from music_lakehouse.lakehouse.lake import conform
from music_lakehouse.lakehouse.tables import Column

IS_OBJECT = "_is_object"
# Spark's JSON parser is lenient by default.
_STRICT_JSON = {"allowSingleQuotes": "false", "allowNonNumericNumbers": "false", "allowUnquotedFieldNames": "false"}
_END = "_end_of_message"
EARLIEST, LATEST = -62_135_596_800_000, 253_402_300_799_999
"""The first and the last millisecond of the years 1 to 9999."""
_MILLISECONDS_2000 = 946_684_800_000
_MILLISECONDS_A_DAY = 86_400_000


def rules(topic: str) -> list[Rule]:
    """What a message of the topic must have to become an event. Time is compared with the message's own Kafka time."""

    def required(name: str, predicate: str, description: str) -> Rule:
        # Of a message that is no object, that it lacks fields would say nothing more.
        return Rule(name, f"NOT {IS_OBJECT} OR ({predicate})", Action.DROP, description, threshold=0.05, limit=0.5)

    common = [
        Rule("json_object", IS_OBJECT, Action.DROP, "the message is one JSON object in UTF-8", 0.05, 0.5),
        required("ts_present", "ts IS NOT NULL", "`ts` is there and an integer"),
        required(
            "ts_since_2000",
            f"ts IS NULL OR ts >= {_MILLISECONDS_2000}",
            "`ts` is not before 2000 (seconds instead of milliseconds are)",
        ),
        required(
            "ts_not_in_future",
            f"ts IS NULL OR ts <= unix_millis(kafka_timestamp) + {_MILLISECONDS_A_DAY}",
            "`ts` is at most a day after Kafka's time of the message",
        ),
        required("session_present", "sessionId IS NOT NULL", "`sessionId` is there and an integer"),
        required("item_present", "itemInSession IS NOT NULL", "`itemInSession` is there and an integer"),
        required("level_known", "level IN ('free', 'paid')", "`level` is free or paid, in any case"),
    ]
    special = {
        "page_view_events": [required("page_present", "page IS NOT NULL", "`page` is there")],
        "auth_events": [required("success_present", "success IS NOT NULL", "`success` is there and true or false")],
    }
    return common + special.get(topic, [])


def parse(raw: DataFrame, topic: str) -> DataFrame:
    """Raw rows of the topic as marked events: the columns of bronze, raw's own, and `_failed_rules`.

    Numbers sent as text become numbers, numbers where text is due become text, `""` is missing. Fields that no column
    knows and values that don't fit their column are kept in `_rescued_data`; neither fails a row by itself.
    """
    fields = EVENT_FIELDS[topic]
    # In an array with an end of our own, what stands before or behind the object is seen too: the parser stops without
    # a word where it takes a message to be complete.
    in_array = F.concat(F.lit("["), "value", F.lit(f', {{"{_END}": ""}}]'))

    def parsed(types: Iterable[str]) -> SparkColumn:
        schema = ", ".join(f"`{field.name}` {type}" for field, type in zip(fields, types, strict=True))
        return F.from_json(in_array, f"ARRAY<STRUCT<{schema}, {_END} STRING>>", _STRICT_JSON)

    # Nearly all messages are plain: an object in which each name is known and each value of its column's type.
    looked_at = raw.select(
        *raw.columns, parsed(field.type for field in fields).alias("_typed"), F.json_object_keys("value").alias("_keys")
    ).withColumn("_is_plain", F.coalesce(_is_one_object("_typed") & _is_plain(fields), F.lit(False)))
    # Only of the others every value is read as text.
    texts = looked_at.withColumn("_texts", F.when(~F.col("_is_plain"), parsed("STRING" for _ in fields)))
    is_object = F.col("_is_plain") | F.coalesce(_is_one_object("_texts"), F.lit(False))
    sent = texts.withColumn(IS_OBJECT, is_object).select(
        *raw.columns,
        IS_OBJECT,
        "_is_plain",
        F.when(F.col("_is_plain"), F.col("_typed")[0]).alias("_plain"),
        F.when(F.col(IS_OBJECT), F.col("_texts")[0]).alias("_sent"),
        F.when(F.col(IS_OBJECT), F.col("_keys")).alias("_keys"),
    )
    typed = sent.select(
        *raw.columns,
        IS_OBJECT,
        *(F.when(F.col("_is_plain"), _plain(field)).otherwise(_coerced(field)).alias(field.name) for field in fields),
        "_is_plain",
        "_sent",
        "_keys",
    )
    events = typed.select(
        *raw.columns,
        IS_OBJECT,
        *(F.lower(trimmed("level")).alias("level") if field.name == "level" else field.name for field in fields),
        F.when(~F.col("_is_plain"), _rescued(fields)).alias("_rescued_data"),
        key("kafka_topic_id", "kafka_partition", "kafka_offset").alias("bronze_id"),
        key("userId", "sessionId", "itemInSession", "ts").alias("event_id"),
        _instant("ts").alias("timestamp"),
        _instant("registration").alias("registration_time"),
        F.col("lat").alias("latitude"),
        F.col("lon").alias("longitude"),
        F.to_date("ingestion_timestamp").alias("ingestion_date"),
    )
    return mark(events, rules(topic))


def valid(marked: DataFrame, topic: str) -> DataFrame:
    """The marked events that break no rule, as bronze rows."""
    return conform(marked.where(F.size(FAILED_RULES) == 0), BRONZE[topic])


def refused(marked: DataFrame, topic: str) -> DataFrame:
    """The marked events that break a rule, as quarantine rows."""
    return conform(as_quarantine_names_them(marked.where(F.size(FAILED_RULES) > 0), topic), QUARANTINE)


def as_quarantine_names_them(marked: DataFrame, topic: str) -> DataFrame:
    """The marked events with quarantine's columns beside theirs: `topic`, and `reasons`, which are the broken rules."""
    return marked.withColumn("topic", F.lit(topic)).withColumnRenamed(FAILED_RULES, "reasons")


def _instant(milliseconds: str) -> SparkColumn:
    """Epoch milliseconds as a timestamp; null outside the years 1 to 9999, where Spark would raise or wrap around."""
    number = F.col(milliseconds)
    return F.when(number.between(EARLIEST, LATEST), F.timestamp_millis(number))


def _is_one_object(wrapped: str) -> SparkColumn:
    """Whether a message that was read in an array is one JSON object and nothing more."""
    return (
        (F.size(wrapped) == 2)
        & F.col(wrapped)[0].isNotNull()
        & F.col(wrapped)[1][_END].isNotNull()
        & F.col("value").rlike(r"^\s*\{")
    )


def _is_plain(fields: Sequence[Column]) -> SparkColumn:
    """Whether each name in the object is one of the fields', once, with a value of the field's own type."""
    values = {field: F.col("_typed")[0][field.name] for field in fields}
    read = [
        F.abs(value) < float("inf") if field.type == "DOUBLE" else value.isNotNull() for field, value in values.items()
    ]
    # What is no text is read as a text too.
    odd = [_looks_like_other_json(value) for field, value in values.items() if field.type == "STRING"]
    count = reduce(SparkColumn.__add__, (F.coalesce(is_read, F.lit(False)).cast("int") for is_read in read))
    return (F.size("_keys") == count) & ~reduce(SparkColumn.__or__, (F.coalesce(o, F.lit(False)) for o in odd))


def _plain(field: Column) -> SparkColumn:
    value = F.col(f"_plain.`{field.name}`")
    return F.nullif(value, F.lit("")) if field.type == "STRING" else value


def _looks_like_other_json(text: SparkColumn) -> SparkColumn:
    return text.startswith("[") | text.startswith("{") | text.isin("true", "false")


def _coerced(field: Column) -> SparkColumn:
    sent = F.nullif(_sent(field), F.lit(""))
    numeral = trimmed(sent)
    match field.type:
        case "BIGINT" | "INT":
            # Through a decimal: 1540266185796.0 and 1.540266185796E12 are integers too.
            number = numeral.try_cast("DECIMAL(38, 9)")
            # The decimal is rounded; as a double, a tiny fraction still shows.
            is_whole = (number == F.floor(number)) & (numeral.try_cast("DOUBLE") == number.cast("DOUBLE"))
            return F.when(is_whole, number.try_cast(field.type))
        case "DOUBLE":
            return decimal_number(numeral)
        case "BOOLEAN":
            return F.when(_kind(field.name) == "BOOLEAN", sent == "true")
        case _:
            return F.when(~_looks_like_other_json(sent) | (_kind(field.name) == "STRING"), sent)


def _kind(name: str) -> SparkColumn:
    """The JSON type in which a field was sent; its text alone doesn't tell `"true"` from `true`."""
    return F.schema_of_variant(F.try_variant_get(F.try_parse_json("value"), f"$.{name}", "variant"))


def _rescued(fields: Sequence[Column]) -> SparkColumn:
    known = F.array(*(F.lit(field.name) for field in fields))
    misfits = F.array_compact(
        F.array(*(F.when(F.col(f.name).isNull() & (_sent(f) != ""), F.lit(f.name)) for f in fields))
    )

    def kept(everything: SparkColumn, is_null: Callable[[SparkColumn], SparkColumn]) -> SparkColumn:
        wanted = F.map_filter(
            everything,
            lambda name, value: ~is_null(value) & (~F.array_contains(known, name) | F.array_contains(misfits, name)),
        )
        return F.nullif(F.to_json(wanted), F.lit("{}"))

    # The object is parsed a second time only where something has to be kept: each value as JSON, or as its text where
    # the object is larger than a variant may be (16 MB).
    as_sent = kept(F.try_parse_json("value").cast("MAP<STRING, VARIANT>"), F.is_variant_null)
    as_text = kept(F.from_json("value", "MAP<STRING, STRING>", _STRICT_JSON), F.isnull)
    may_be_some = (F.size(F.array_except("_keys", known)) > 0) | (F.size(misfits) > 0)
    return F.when(may_be_some, F.coalesce(as_sent, as_text))


def _sent(field: Column) -> SparkColumn:
    return F.col(f"_sent.`{field.name}`")
