"""Keys and cleaned text, in one place."""

from __future__ import annotations

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

# A text that was read wrongly once more than this is left as far as it was repaired; twice is what is seen in practice.
_MOST_REPAIRS = 8
BLANKS = " \t\n\v\f\r"
"""What is cut at either end of numbers and codes."""


def key(*parts: Column | str) -> Column:
    """md5 of the parts joined by `|`, a missing part as the empty text."""
    texts = [F.coalesce((F.col(p) if isinstance(p, str) else p).cast("string"), F.lit("")) for p in parts]
    return F.md5(F.concat_ws("|", *texts))


def key_of(*parts: str) -> str:
    """The same of texts, in words that any SQL engine understands."""
    return "md5(concat_ws('|', {}))".format(", ".join(f"coalesce({part}, '')" for part in parts))


def cleaned_texts(sent: DataFrame) -> DataFrame:
    """The texts (`text`) with what they are when cleaned (`cleaned`)."""
    return sent.select("text", clean_text("text").alias("cleaned"))


def shown_numbers(sent: DataFrame) -> DataFrame:
    """The numbers (`number`) with the text that keys have of them (`shown`), which is Spark's."""
    return sent.select("number", F.col("number").cast("string").alias("shown"))


def trimmed(text: Column | str) -> Column:
    """Text without blanks at either end."""
    return F.btrim(F.col(text) if isinstance(text, str) else text, F.lit(BLANKS))


def decimal_number(text: Column) -> Column:
    """The finite number that a text is in decimal or scientific notation; null where it is none."""
    # Java's own reading would take "1f", "0x1p3" and "NaN" for numbers.
    number = F.when(text.rlike(r"^[-+.0-9eE]+$"), text.try_cast("DOUBLE"))
    return F.when(F.abs(number) < float("inf"), number)


def clean_text(text: Column | str) -> Column:
    """Text as it is matched and shown in silver and gold.

    UTF-8 that was read as Latin-1 is repaired, as often as that works; then every backslash is removed, and spaces and
    double quotes at either end; what is empty then is null.
    """
    text = F.col(text) if isinstance(text, str) else text
    return F.nullif(F.btrim(F.replace(_repair(text), F.lit("\\"), F.lit("")), F.lit(' "')), F.lit(""))


def _repair(text: Column) -> Column:
    repairs = F.array(*(F.lit(n) for n in range(_MOST_REPAIRS)))
    repaired = F.aggregate(repairs, text, lambda so_far, _: _repair_once(so_far))
    is_ascii = F.octet_length(text) == F.char_length(text)
    return F.when(is_ascii, text).otherwise(repaired)


def _repair_once(text: Column) -> Column:
    # Text with a character beyond Latin-1 has no Latin-1 bytes, and encode() would raise; `$` would not see a line
    # separator (U+2028) at the end.
    was_latin_1 = text.rlike(r"^[\x00-\xFF]*\z")
    as_utf_8 = F.try_validate_utf8(F.encode(text, "ISO-8859-1").cast("string"))
    return F.when(was_latin_1, F.coalesce(as_utf_8, text)).otherwise(text)
