"""What the shells of assets share."""

from __future__ import annotations

import traceback

from music_lakehouse.defs.shell import note, noted


def test_the_tables_that_an_error_came_with_are_no_lines_of_its_text() -> None:
    error = RuntimeError("the broker went away: start it")
    note(error, "raw.listen_events")
    note(error, "raw.auth_events")

    assert noted(error) == ["raw.listen_events", "raw.auth_events"]
    assert traceback.format_exception_only(error) == ["RuntimeError: the broker went away: start it\n"]
    assert noted(RuntimeError("another")) == []
