from __future__ import annotations

import hashlib
from random import Random

import pytest
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from music_lakehouse.defs.listening.transforms.text import clean_text, key
from music_lakehouse_tests.oracle.values import clean

pytestmark = pytest.mark.spark


def misread(text: str, times: int = 1) -> str:
    for _ in range(times):
        text = text.encode().decode("latin-1")
    return text


CLEANED = [
    (None, None),
    ("", None),
    ("  ", None),
    ('"', None),
    ('" "', None),
    ("\\", None),
    ("Tune", "Tune"),
    (' "Tune" ', "Tune"),
    ('"Tune', "Tune"),
    ('Tune"', "Tune"),
    ('Two "Tunes', 'Two "Tunes'),
    ('\\"Tune\\"', "Tune"),
    ("\\ Tune", "Tune"),
    ("AC\\DC", "ACDC"),
    ("AC|DC", "AC|DC"),
    ("_ a comma", "_ a comma"),
    ("\tTune\n", "\tTune\n"),
    ("Björk", "Björk"),
    (misread("Björk"), "Björk"),
    (misread("Björk", 2), "Björk"),
    (misread("Björk", 3), "Björk"),
    (misread('"Björk"'), "Björk"),
    (misread("日本"), "日本"),
    ("日本 BjÃ¶rk", "日本 BjÃ¶rk"),
    ("Ã", "Ã"),
    ("Ã Ã¶", "Ã Ã¶"),
    ("caf\u00e9\n", "caf\u00e9\n"),
    (misread("café\n"), "café\n"),
    ("caf\u00e9\u2028", "caf\u00e9\u2028"),
    ("caf\u00e9\u2029", "caf\u00e9\u2029"),
    ("\u2028", "\u2028"),
    ("caf\u00e9\u0085", "caf\u00e9\u0085"),
    ("𝄞 clef", "𝄞 clef"),
    (misread("𝄞 clef", 2), "𝄞 clef"),
]


def cleaned(spark: SparkSession, texts: list[str | None]) -> list[str | None]:
    rows = spark.createDataFrame(list(enumerate(texts)), "number INT, text STRING")
    found = rows.select("number", clean_text("text").alias("text")).collect()
    return [row.text for row in sorted(found, key=lambda row: row.number)]


def test_text_is_repaired_then_stripped_of_backslashes_blanks_and_quotes(spark: SparkSession) -> None:
    texts = [text for text, _ in CLEANED]
    assert dict(zip(texts, cleaned(spark, texts), strict=True)) == dict(CLEANED)


def test_any_text_is_cleaned_as_the_oracle_does(spark: SparkSession, seed: int) -> None:
    print(f"seed {seed}")
    rng = Random(seed)
    alphabet = [*'aZ "\\|\n\t', "é", "Ã", "©", "¶", "Â", "\u00a0", "\u0085", "\u2028", "ж", "𝄞", "\x00"]
    texts = ["".join(rng.choices(alphabet, k=rng.randrange(12))) for _ in range(1500)]
    texts += [misread(text, rng.randrange(1, 4)) for text in texts]
    wrong = [
        (text, got, clean(text))
        for text, got in zip(texts, cleaned(spark, list(texts)), strict=True)
        if got != clean(text)
    ]
    assert wrong == []


def test_a_key_is_the_md5_of_its_parts_joined_by_a_bar(spark: SparkSession) -> None:
    rows = spark.createDataFrame(
        [("a", 1, 2.5, None), ("", -1, -0.0, ""), (None, None, 1e-4, "|"), ("é", 2**62, 1e7, "x")],
        "a STRING, b BIGINT, c DOUBLE, d STRING",
    )
    keys = [row[0] for row in rows.select(key("a", F.col("b"), "c", "d").alias("key")).collect()]
    texts = ["a|1|2.5|", "|-1|-0.0|", "||1.0E-4||", f"é|{2**62}|1.0E7|x"]
    assert keys == [hashlib.md5(text.encode()).hexdigest() for text in texts]
