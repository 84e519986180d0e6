"""What the platform is measured beside: a plain copy, and the way that notebooks usually take.

The notebook way is written as one finds it in many projects, at the best settings that we found for it: every dimension
by `dropDuplicates`, a join on every dimension, and the wide table written anew in each batch. It knows nothing of late
events, of repeated deliveries or of when a version of a user held.
"""

from __future__ import annotations

import time
from pathlib import Path

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.streaming import DataStreamWriter

from music_lakehouse.lakehouse.kafka_access import spark_options
from music_lakehouse.settings import Settings

_SCHEMA = (
    "ts BIGINT, sessionId BIGINT, auth STRING, level STRING, itemInSession INT, city STRING, zip STRING, state STRING, "
    "userAgent STRING, lon DOUBLE, lat DOUBLE, userId BIGINT, lastName STRING, firstName STRING, gender STRING, "
    "registration BIGINT, artist STRING, song STRING, duration DOUBLE"
)


def raw_copy(spark: SparkSession, settings: Settings, root: Path) -> float:
    """Copy the topic as it is into one Delta table; return the seconds. The limit of what can be had."""
    started = time.monotonic()
    _drain(_messages(spark, settings).writeStream.format("delta"), root / "_copy_checkpoint", root / "copy")
    return time.monotonic() - started


def notebook(spark: SparkSession, settings: Settings, root: Path) -> float:
    """Take what is new in the topic through the notebook's tables; return the seconds."""
    started = time.monotonic()
    parsed = (
        _messages(spark, settings)
        .select(F.from_json(F.col("value").cast("string"), _SCHEMA).alias("e"))
        .select("e.*", F.timestamp_millis("e.ts").alias("timestamp"))
    )
    _drain(parsed.writeStream.format("delta"), root / "_bronze_checkpoint", root / "bronze")
    bronze = spark.read.format("delta").load(str(root / "bronze"))
    users = bronze.select("userId", "firstName", "lastName", "gender", "level", "registration").dropDuplicates()
    songs = bronze.select(F.col("song").alias("title"), "artist", "duration").dropDuplicates()
    artists = bronze.select("artist").dropDuplicates()
    places = bronze.select("city", "state", "zip", "lat", "lon").dropDuplicates()
    hours = bronze.select(F.date_trunc("hour", "timestamp").alias("hour")).dropDuplicates()
    dimensions = {
        "users": _keyed(users, "userKey"),
        "songs": _keyed(songs, "songKey"),
        "artists": _keyed(artists, "artistKey"),
        "places": _keyed(places, "placeKey"),
        "hours": _keyed(hours, "hourKey"),
    }
    for name, rows in dimensions.items():
        rows.write.format("delta").mode("overwrite").save(str(root / name))
    read = {name: spark.read.format("delta").load(str(root / name)) for name in dimensions}
    facts = (
        bronze.join(read["users"].select("userKey", "userId", "level"), ["userId", "level"])
        .join(read["songs"].withColumnRenamed("title", "song"), ["song", "artist", "duration"])
        .join(read["artists"], "artist")
        .join(read["places"], ["city", "state", "zip", "lat", "lon"])
        .withColumn("hour", F.date_trunc("hour", "timestamp"))
        .join(read["hours"], "hour")
        .select("userKey", "songKey", "artistKey", "placeKey", "hourKey", "timestamp", "sessionId", "itemInSession")
        .withColumn("date_part", F.to_date("timestamp"))
    )
    facts.write.format("delta").mode("overwrite").partitionBy("date_part").save(str(root / "facts"))
    wide = spark.read.format("delta").load(str(root / "facts"))
    for name, key in (
        ("users", "userKey"),
        ("songs", "songKey"),
        ("artists", "artistKey"),
        ("places", "placeKey"),
        ("hours", "hourKey"),
    ):
        dimension = read[name].drop("artist") if name == "songs" else read[name]
        wide = wide.join(dimension, key)
    wide.write.format("delta").mode("overwrite").partitionBy("date_part").save(str(root / "wide"))
    wide = spark.read.format("delta").load(str(root / "wide"))
    summaries = {
        "daily_user": wide.groupBy("date_part", "userId", "firstName", "lastName", "level").agg(
            F.count("*"), F.countDistinct("title"), F.countDistinct("artist")
        ),
        "daily_place": wide.groupBy("date_part", "city", "state").agg(
            F.count("*"), F.countDistinct("userId"), F.countDistinct("title")
        ),
        "artist_popularity": wide.groupBy("artist").agg(
            F.count("*"), F.countDistinct("userId"), F.countDistinct("title"), F.countDistinct("date_part")
        ),
    }
    for name, rows in summaries.items():
        named = rows.toDF(*(f"c{n}" for n in range(len(rows.columns))))
        named.write.format("delta").mode("overwrite").save(str(root / name))
    return time.monotonic() - started


def _keyed(rows: DataFrame, key: str) -> DataFrame:
    return rows.withColumn(key, F.md5(F.concat_ws("|", *(F.col(name).cast("string") for name in rows.columns))))


def _messages(spark: SparkSession, settings: Settings) -> DataFrame:
    return (
        spark.readStream.format("kafka")
        .options(**spark_options(settings))
        .option("subscribe", settings.topics["listen_events"])
        .option("startingOffsets", "earliest")
        .load()
    )


def _drain(writer: DataStreamWriter, checkpoint: Path, path: Path) -> None:
    writer.option("checkpointLocation", str(checkpoint)).trigger(availableNow=True).start(str(path)).awaitTermination()
