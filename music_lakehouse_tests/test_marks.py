from __future__ import annotations

import pytest

from music_lakehouse_tests.marks import leaves_out

ONE = "import pytest\n\npytestmark = pytest.mark.spark\n\n@pytest.mark.slow\ndef test_it(): ...\n"
MANY = "pytestmark = [\n    pytest.mark.kafka,\n    pytest.mark.timeout(900),\n    pytest.mark.slow,\n]\n\nx = 1\n"


@pytest.mark.parametrize(
    ("expression", "source"),
    [("not spark", ONE), ("not slow and not spark", ONE), ("chaos and not slow", MANY), ("not kafka", MANY)],
)
def test_a_file_is_left_out_where_one_of_its_own_marks_is_unwanted(expression: str, source: str) -> None:
    assert leaves_out(expression, source)


@pytest.mark.parametrize(
    ("expression", "source"),
    [
        ("", ONE),
        ("spark", ONE),
        ("not slow", ONE),
        ("not kafka", ONE),
        ("not spark", MANY),
        ("not spark or chaos", ONE),
        ("not (spark and slow)", ONE),
        ("not spark", "def test_it(): ...\n"),
    ],
)
def test_else_pytest_judges_its_tests_one_by_one(expression: str, source: str) -> None:
    assert not leaves_out(expression, source)
