"""The reference files as tables: whatever can be read of them, typed, with cleaned names."""

from __future__ import annotations

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from music_lakehouse.defs.listening.tables import REFERENCE_SONGS, REFERENCE_STATES
from music_lakehouse.defs.listening.transforms.text import clean_text, decimal_number, key, trimmed
from music_lakehouse.lakehouse.tables import Column as TableColumn

SONG_COLUMNS = [column for column in REFERENCE_SONGS.columns if column.name not in ("row_id", "songKey", "artistKey")]
STATE_COLUMNS = REFERENCE_STATES.columns
_NAMES = ("title", "artist_name", "artist_location")


def reference_songs(lines: DataFrame) -> DataFrame:
    """Rows of reference_songs from the file's rows as text. A number that can't be read is missing."""

    def value(column: TableColumn) -> Column:
        text = F.nullif(trimmed(column.name), F.lit(""))
        if column.name in _NAMES:
            return clean_text(text)
        if column.type == "STRING":
            return text
        number = decimal_number(text)
        # A whole number may be written as 2005.0.
        return F.when(number == F.floor(number), number).try_cast("INT") if column.type == "INT" else number

    typed = lines.select(*(value(column).alias(column.name) for column in SONG_COLUMNS))
    both = F.col("title").isNotNull() & F.col("artist_name").isNotNull()
    return (
        typed.where("artist_name IS NOT NULL")
        .withColumn("songKey", F.when(both, key("title", "artist_name")))
        .withColumn("artistKey", key("artist_name"))
        .withColumn("row_id", key(*(column.name for column in SONG_COLUMNS)))
        .dropDuplicates(["row_id"])
    )


def reference_states(lines: DataFrame) -> DataFrame:
    """Rows of reference_states from the file's rows as text: trimmed, codes in upper case, one row a code."""
    code, name = (F.nullif(trimmed(column.name), F.lit("")) for column in STATE_COLUMNS)
    return (
        lines.select(F.upper(code).alias("stateCode"), name.alias("stateName"))
        .where("stateCode IS NOT NULL AND stateName IS NOT NULL")
        .groupBy("stateCode")
        .agg(F.min("stateName").alias("stateName"))
    )
