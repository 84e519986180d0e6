from __future__ import annotations

import csv
import json
import tracemalloc
from collections import Counter, defaultdict
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from music_lakehouse.simulator.heart_rate.config import HeartRateConfig
from music_lakehouse.simulator.heart_rate.faults import FILE_FAULTS
from music_lakehouse.simulator.heart_rate.simulation import land_heart_rates
from music_lakehouse.simulator.landing import LandingError
from music_lakehouse_tests.simulator.directories import contents

pytestmark = pytest.mark.thorough

START = datetime(2024, 3, 1, tzinfo=timezone.utc)
FILES, RECORDINGS = 12, 2000
FIELDS = ("device_id", "mrn", "time", "heartrate")


class Landing(NamedTuple):
    """What landed below a root, by several calls."""

    root: Path
    calls: list[list[Path]]

    @property
    def people(self) -> dict[int, str]:
        return people(self.root)


def config(seed: int, dirty: float = 0, start: datetime | None = START) -> HeartRateConfig:
    return HeartRateConfig(files=FILES, recordings=RECORDINGS, seed=seed, dirty=dirty, start=start)


def people(root: Path) -> dict[int, str]:
    with (root / "heart_rate" / "patient_info.csv").open(newline="", encoding="utf-8") as file:
        return {int(row["mrn"]): row["name"] for row in csv.DictReader(file)}


def elements(paths: list[Path]) -> Iterator[Any]:
    for path in paths:
        yield from json.loads(path.read_text())


def typed(paths: list[Path]) -> Iterator[tuple[int, int, datetime, float]]:
    """Device, person, time and heart rate of the recordings of devices that did not slip."""
    for row in elements(paths):
        if row["heartrate"] is None or not 20 <= float(row["heartrate"]) <= 300:
            continue
        time = datetime.fromtimestamp(0, timezone.utc) + timedelta(microseconds=int(float(row["time"])))
        yield int(row["device_id"]), int(row["mrn"]), time, float(row["heartrate"])


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory, seed: int) -> Landing:
    """A clean landing."""
    print(f"seed {seed}")
    root = tmp_path_factory.mktemp("landing")
    return Landing(root, [land_heart_rates(root, config(seed))])


@pytest.fixture(scope="module")
def dirty(tmp_path_factory: pytest.TempPathFactory, seed: int) -> Landing:
    """A dirty landing."""
    print(f"seed {seed}")
    root = tmp_path_factory.mktemp("landing")
    return Landing(root, [land_heart_rates(root, config(seed, dirty=0.05))])


def test_the_same_seed_and_start_give_the_same_files_and_another_seed_others(
    clean: Landing, seed: int, tmp_path: Path
) -> None:
    for name, other in (("same", seed), ("other", seed + 1)):
        land_heart_rates(tmp_path / name, config(other))
    assert contents(tmp_path / "same") == contents(clean.root)
    other_files = contents(tmp_path / "other")
    assert other_files.keys() == contents(clean.root).keys()
    assert not other_files.items() & contents(clean.root).items()


def test_files_are_arrays_of_as_many_recordings_as_asked_for(clean: Landing) -> None:
    assert {path.name for path in clean.root.iterdir()} == {"heart_rate"}
    assert len(clean.calls[0]) == FILES
    for path in clean.calls[0]:
        assert len(json.loads(path.read_text())) == RECORDINGS
        assert len(path.read_text().splitlines()) == RECORDINGS + 2
    assert all(tuple(row) == FIELDS for row in elements(clean.calls[0]))


def test_files_cover_the_time_from_the_start_on_one_after_another(clean: Landing) -> None:
    assert [path.name for path in clean.calls[0]] == sorted(path.name for path in clean.calls[0])
    times = [time for _, _, time, _ in typed(clean.calls[0])]
    end = START + config(1).length
    assert all(START - timedelta(hours=7) < time < end for time in times)
    assert max(times) > end - timedelta(minutes=5)
    assert any(time.microsecond % 1000 for time in times)


def test_34_people_are_known_two_of_one_name_and_a_35th_is_recorded(clean: Landing) -> None:
    names = Counter(clean.people.values())
    assert len(clean.people) == 34
    assert sorted(names.values()) == [1] * 32 + [2]
    recorded = {mrn for _, mrn, _, _ in typed(clean.calls[0])}
    assert recorded > clean.people.keys()
    assert len(recorded) == 35


def test_each_person_has_one_device_and_is_recorded_every_five_minutes(clean: Landing) -> None:
    devices, counts = defaultdict(set), Counter[int]()
    for device, mrn, _, _ in typed(clean.calls[0]):
        devices[mrn].add(device)
        counts[mrn] += 1
    assert all(len(found) == 1 for found in devices.values())
    expected = config(1).length / timedelta(minutes=5)
    assert all(0.9 * expected < count < 1.1 * expected for count in counts.values())


def test_hearts_beat_slower_by_night_and_faster_in_exercise(clean: Landing) -> None:
    night, day, rates = list[float](), list[float](), list[float]()
    for _, _, time, rate in typed(clean.calls[0]):
        rates.append(rate)
        (night if 1 <= time.hour < 7 else day if 12 <= time.hour < 20 else []).append(rate)
    assert all(40 <= rate <= 200 and (rate * 4).is_integer() for rate in rates)
    assert sum(night) / len(night) + 8 < sum(day) / len(day)
    assert 0.005 < sum(rate > 110 for rate in rates) / len(rates) < 0.1


def test_some_recordings_are_sent_twice_some_late_some_as_text(clean: Landing) -> None:
    rows = list(elements(clean.calls[0]))
    total = len(rows)
    assert 0.005 < sum(a == b for a, b in pairwise(rows)) / total < 0.02
    assert 0.02 < sum(isinstance(row["heartrate"], str) for row in rows) / total < 0.04
    assert all(len({type(value) is str for value in row.values() if value is not None}) == 1 for row in rows)
    late, newest = 0, START
    for _, _, time, _ in typed(clean.calls[0]):
        late += time < newest - timedelta(hours=1)
        newest = max(newest, time)
    assert 0.005 < late / total < 0.03


def test_some_heart_rates_are_missing_and_some_absurd(clean: Landing) -> None:
    rates = [row["heartrate"] for row in elements(clean.calls[0])]
    missing = sum(rate is None for rate in rates)
    assert 0.001 < missing / len(rates) < 0.005
    assert 0.001 < sum(rate is not None and not 20 <= float(rate) <= 300 for rate in rates) / len(rates) < 0.005


def test_called_again_the_recordings_go_on_up_to_now_and_the_newcomer_is_known(seed: int, tmp_path: Path) -> None:
    print(f"seed {seed}")
    first = land_heart_rates(tmp_path, HeartRateConfig(files=3, recordings=500, seed=seed))
    before, names = contents(tmp_path), people(tmp_path)
    second = land_heart_rates(tmp_path, HeartRateConfig(files=2, recordings=300, seed=seed))

    after = contents(tmp_path)
    unchanged = before.keys() - {"heart_rate/patient_info.csv"}
    assert all(after[name] == before[name] for name in unchanged)
    assert len(after) == len(before) + 2
    assert names.items() < people(tmp_path).items()
    [newcomer] = people(tmp_path).keys() - names.keys()
    assert newcomer in {mrn for _, mrn, _, _ in typed(first)}
    assert len({mrn for _, mrn, _, _ in typed(second)} - people(tmp_path).keys()) == 1
    latest = max(time for _, _, time, _ in typed(first))
    assert latest < max(time for _, _, time, _ in typed(second)) < datetime.now(timezone.utc)


def test_what_else_stands_in_the_table_of_people_stays(seed: int, tmp_path: Path) -> None:
    land_heart_rates(tmp_path, HeartRateConfig(files=1, recordings=10, seed=seed))
    file = tmp_path / "heart_rate" / "patient_info.csv"
    lines = file.read_text().splitlines()
    file.write_text("\n".join([lines[0], *lines[2:], "7,Somebody Else", lines[1].split(",")[0] + ",Corrected Name"]))
    land_heart_rates(tmp_path, HeartRateConfig(files=1, recordings=10, seed=seed))
    names = people(tmp_path)
    assert len(names) == 36
    assert names[7] == "Somebody Else"
    assert list(names.values()).count("Corrected Name") == 1


def test_the_same_start_twice_is_refused_and_changes_no_recording(seed: int, tmp_path: Path) -> None:
    landed = land_heart_rates(tmp_path, HeartRateConfig(files=2, recordings=10, seed=seed, start=START))
    before = [path.read_bytes() for path in landed]
    with pytest.raises(LandingError, match=r"recordings_2024.*has landed already.*start at another time"):
        land_heart_rates(tmp_path, HeartRateConfig(files=2, recordings=10, seed=seed + 1, start=START))
    assert [path.read_bytes() for path in landed] == before


def test_dirty_landings_have_faulty_recordings_of_each_kind(dirty: Landing) -> None:
    seen = Counter[str]()
    good = [path for path in dirty.calls[0] if path.name.endswith("Z.json")]
    for row in elements(good):
        if not isinstance(row, dict):
            seen["no recording"] += 1
            continue
        for name in FIELDS:
            value = row.get(name)
            if value is None:
                seen[f"{name} {'null' if name in row else 'absent'}"] += 1
            elif not _is_number(value):
                seen[f"{name} no number"] += 1
            elif name == "heartrate" and not 20 <= float(value) <= 300:
                seen["absurd"] += 1
    print(seen)
    assert all(seen[f"{name} {kind}"] > 0 for name in FIELDS[1:] for kind in ("null", "absent", "no number"))
    assert seen["device_id no number"] > 0
    assert seen["absurd"] > seen["no recording"] > 0
    assert 0.03 < seen.total() / (FILES * RECORDINGS) < 0.07


def test_dirty_landings_have_each_faulty_file_before_the_good_one(dirty: Landing) -> None:
    names = [path.name for path in dirty.calls[0]]
    assert len(names) == FILES + len(FILE_FAULTS)
    for fault in FILE_FAULTS:
        [path] = [path for path in dirty.calls[0] if path.name.endswith(f"_{fault}.json")]
        good = path.name.replace(f"_{fault}", "")
        assert names.index(path.name) < names.index(good)
        assert not isinstance(_parsed(path), list)
        if fault != "empty":
            assert path.read_bytes().strip()


def test_memory_does_not_grow_with_the_data(tmp_path: Path) -> None:
    tracemalloc.start()
    try:
        land_heart_rates(tmp_path, HeartRateConfig(files=2, recordings=10_000, start=START))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    landed = sum(file.stat().st_size for file in tmp_path.rglob("*.json"))
    print(f"{peak / 1e6:.1f} MB for {landed / 1e6:.1f} MB of files")
    assert peak < landed / 2


@pytest.mark.parametrize("wrong", [{"files": 0}, {"recordings": 0}, {"dirty": -0.1}])
def test_values_that_make_no_sense_are_refused_by_name(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=f"{next(iter(wrong))} is .*: give a number from"):
        HeartRateConfig(**wrong)


def _parsed(path: Path) -> Any:
    try:
        return json.loads(path.read_text())
    except json.JSONDecodeError:
        return None


def _is_number(value: Any) -> bool:
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return False
    try:
        float(value)
    except ValueError:
        return False
    return True
