from __future__ import annotations

import hashlib

import pytest

from music_lakehouse_tests.oracle.examples import NOON, at
from music_lakehouse_tests.oracle.values import clean, instant, instant_or_none, java_double, key


def test_a_key_is_the_md5_of_its_parts_with_missing_parts_empty() -> None:
    assert key(7, None, "Ö", 1.5) == hashlib.md5("7||Ö|1.5".encode()).hexdigest()
    assert key("") == "d41d8cd98f00b204e9800998ecf8427e"


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0.0, "0.0"),
        (-0.0, "-0.0"),
        (100.0, "100.0"),
        (-73.98765432101234, "-73.98765432101234"),
        (0.001, "0.001"),
        (0.000999, "9.99E-4"),
        (-0.00001, "-1.0E-5"),
        (9999999.9, "9999999.9"),
        (1e7, "1.0E7"),
        (123456789.125, "1.23456789125E8"),
        (1.5e300, "1.5E300"),
    ],
)
def test_doubles_are_written_as_java_writes_them(number: float, text: str) -> None:
    assert java_double(number) == text


@pytest.mark.parametrize(
    ("sent", "meant"),
    [
        ("BjÃ¶rk", "Björk"),
        ("BjÃ\x83Â¶rk", "Björk"),
        ("Björk", "Björk"),
        ("Sigur Rós € ágætis", "Sigur Rós € ágætis"),
        ('"Say \\"Hi\\""', 'Say "Hi'),
        ('" "Nested\\ " ', "Nested"),
        ("\tTab", "\tTab"),
        ('say "hi" now', 'say "hi" now'),
        (' "\\" ', None),
        ("", None),
        (None, None),
    ],
)
def test_text_is_repaired_then_tidied(sent: str | None, meant: str | None) -> None:
    assert clean(sent) == meant


def test_instants_keep_their_milliseconds_and_are_utc() -> None:
    assert instant(NOON + 123) == at(123)
    assert instant(-1).isoformat() == "1969-12-31T23:59:59.999000+00:00"
    assert instant_or_none(2**62) is None
    assert str(instant_or_none(253_402_300_799_999)) == "9999-12-31 23:59:59.999000+00:00"
