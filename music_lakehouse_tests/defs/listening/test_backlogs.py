from __future__ import annotations

from pathlib import Path

from music_lakehouse.defs.listening.backlogs import rows_behind_gold, rows_unparsed
from music_lakehouse.defs.listening.tables import BRONZE, RAW
from music_lakehouse.lakehouse.lake import LakePaths
from music_lakehouse.lakehouse.positions import begin_anew, record_source_position
from music_lakehouse_tests.defs.listening.raw_rows import write_raw

EVENT = "listen_events"


def write(lake: LakePaths, first: int, rows: int) -> None:
    write_raw(lake, EVENT, "topic", [("id", 0, offset) for offset in range(first, first + rows)])


def test_behind_gold_are_the_rows_that_the_next_layer_has_not_taken(tmp_path: Path) -> None:
    lake = LakePaths(str(tmp_path / "lake"))
    assert rows_behind_gold(lake) == 0
    write(lake, 0, 3)
    assert rows_behind_gold(lake) == 3, "bronze has taken nothing yet"
    state = lake.state(RAW[EVENT])
    assert state is not None
    record_source_position(lake, BRONZE[EVENT].full_name, RAW[EVENT].full_name, state)
    assert rows_behind_gold(lake) == 0
    write(lake, 3, 2)
    assert rows_behind_gold(lake) == 2


def test_unparsed_are_raw_rows_that_bronze_has_not_taken_or_is_to_take_again(tmp_path: Path) -> None:
    lake = LakePaths(str(tmp_path / "lake"))
    assert rows_unparsed(lake) == 0
    write(lake, 0, 3)
    assert rows_unparsed(lake) == 3
    state = lake.state(RAW[EVENT])
    assert state is not None
    record_source_position(lake, BRONZE[EVENT].full_name, RAW[EVENT].full_name, state)
    write(lake, 3, 2)
    assert rows_unparsed(lake) == 2
    begin_anew(lake, BRONZE[EVENT].full_name)
    assert rows_unparsed(lake) == 5
