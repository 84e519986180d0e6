from __future__ import annotations

import pytest

from music_lakehouse_tests.oracle.coercion import (
    NotAnArrayError,
    NotAnObjectError,
    NumberText,
    UnfitValueError,
    boolean,
    double,
    integer,
    parse_array,
    parse_object,
    text,
)


@pytest.mark.parametrize("written", ["5", "5.0", "0.5e1", "500E-2", " 5 ", "+5", "005"])
def test_an_integer_is_any_numeral_without_a_fraction(written: str) -> None:
    assert integer(32)(written) == 5


def test_a_registration_written_as_a_float_is_an_integer() -> None:
    assert integer(64)(NumberText("1540266185796.0")) == 1540266185796


@pytest.mark.parametrize(
    "value", ["5.5", "1e-1", "five", "1,000", "0x10", "1d", " ", "٣", True, [5], {}, "1e999999999"]
)
def test_what_is_no_whole_number_does_not_fit_an_integer(value: object) -> None:
    with pytest.raises(UnfitValueError):
        integer(64)(value)


def test_integers_end_where_their_type_ends() -> None:
    assert integer(32)("2147483647") == 2147483647
    assert integer(64)("-9223372036854775808") == -(2**63)
    with pytest.raises(UnfitValueError):
        integer(32)("2147483648")
    with pytest.raises(UnfitValueError):
        integer(64)("9223372036854775808")


def test_a_double_is_any_finite_number() -> None:
    assert double(NumberText("210.33751")) == 210.33751
    assert double(" 1e3 ") == 1000.0
    for value in ("1e400", "NaN", "Infinity", "", False, [1.0]):
        with pytest.raises(UnfitValueError):
            double(value)


def test_only_json_booleans_are_booleans() -> None:
    assert boolean(True) is True
    values: list[object] = ["true", "False", NumberText("1"), []]
    for value in values:
        with pytest.raises(UnfitValueError):
            boolean(value)


def test_a_number_where_text_is_due_stays_as_it_was_written() -> None:
    assert text(parse_object('{"zip": 1.50}')["zip"]) == "1.50"
    for value in (True, ["a"], {"a": "b"}):
        with pytest.raises(UnfitValueError):
            text(value)


def test_half_a_surrogate_pair_becomes_a_question_mark() -> None:
    assert text(parse_object(r'{"city": "\ud83dx"}')["city"]) == "?x"
    assert text(parse_object(r'{"city": "\ud83d\ude00"}')["city"]) == "😀"


def test_of_a_name_that_comes_twice_the_last_holds() -> None:
    assert parse_object(' {"a": "1", "a": "2"} \n') == {"a": "2"}


@pytest.mark.parametrize(
    "content",
    [
        "",
        "null",
        "[]",
        '"{}"',
        "7",
        "{} x",
        "{'a': 1}",
        '{"a": NaN}',
        '{"a": 01}',
        '{"a": 1,}',
        "\ufeff{}",
        "{",
        "[" * 99999,
    ],
)
def test_what_is_not_one_strict_json_object_is_refused(content: str) -> None:
    with pytest.raises(NotAnObjectError):
        parse_object(content)


def test_an_array_is_the_whole_text_and_keeps_its_numbers_as_written() -> None:
    assert parse_array(' [1.50, {"a": 2}]\n') == ["1.50", {"a": "2"}]
    for text_of_something_else in ("", "{}", "[1", "[1] [2]", "[Infinity]", "[" * 100_000):
        with pytest.raises(NotAnArrayError):
            parse_array(text_of_something_else)
