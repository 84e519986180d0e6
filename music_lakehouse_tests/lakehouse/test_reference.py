from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from pyspark.sql import functions as F

from music_lakehouse.lakehouse.lake import Lake
from music_lakehouse.lakehouse.reference import LINE, Reference, is_outdated, load_reference
from music_lakehouse.lakehouse.tables import Column, Table
from music_lakehouse.lakehouse.upsert import Written
from music_lakehouse_tests.lakehouse.items import content, version

pytestmark = pytest.mark.spark

CODES = Table(
    layer="bronze",
    name="codes",
    description="",
    columns=(Column("code", "STRING", ""), Column("name", "STRING", "")),
    key=("code",),
)
REFERENCE = Reference(CODES, "codes.csv", CODES.columns, lambda lines: lines.where(F.col("code").isNotNull()))


def test_a_table_is_always_equal_to_its_file(lake: Lake, tmp_path: Path) -> None:
    file = tmp_path / "codes.csv"
    report = load_reference(lake, REFERENCE, tmp_path)
    assert (report.written, report.problems) == (Written(), [f"{file} is not there"])
    assert content(lake, CODES) == set()

    file.write_text("code,name\nA,Alpha\nB,Beta\nC,Gamma\n")
    report = load_reference(lake, REFERENCE, tmp_path)
    assert (report.written, report.problems) == (Written(inserted=3), [])
    before = version(lake, CODES)
    assert load_reference(lake, REFERENCE, tmp_path).written == Written()
    file.write_text("name,code\nAlpha,A\nBeta,B\nGamma,C\n")
    assert load_reference(lake, REFERENCE, tmp_path).written == Written()
    assert version(lake, CODES) == before, "another order of columns is no change"

    file.write_text("code,name\nA,Alpha\nB,Bee\nD,Delta\n")
    assert load_reference(lake, REFERENCE, tmp_path).written == Written(inserted=1, updated=1, deleted=1)
    assert content(lake, CODES) == {("A", "Alpha"), ("B", "Bee"), ("D", "Delta")}

    file.unlink()
    assert load_reference(lake, REFERENCE, tmp_path).written == Written(deleted=3)


def test_a_table_that_keeps_stays_as_it_was_while_its_file_is_gone_or_broken(lake: Lake, tmp_path: Path) -> None:
    file, keeping = tmp_path / "codes.csv", replace(REFERENCE, keeps=True)
    assert load_reference(lake, keeping, tmp_path).problems == [f"{file} is not there"]
    file.write_text("code,name\nA,Alpha\n")
    load_reference(lake, keeping, tmp_path)
    file.unlink()
    assert is_outdated(lake, keeping, tmp_path)
    report = load_reference(lake, keeping, tmp_path)
    assert (report.written, report.problems) == (Written(), [f"{file} is not there"])
    assert not is_outdated(lake, keeping, tmp_path), "it is told once"
    file.write_text("code\nA\n")
    report = load_reference(lake, keeping, tmp_path)
    assert (report.written, report.problems) == (Written(), [f"{file} has no column name"])
    assert content(lake, CODES) == {("A", "Alpha")}
    file.write_text("code,name\n")
    assert load_reference(lake, keeping, tmp_path).written == Written(deleted=1), "a file without rows is whole"


@pytest.mark.parametrize("keeps", [False, True])
def test_a_file_that_cannot_be_read_leaves_its_table_as_it_was(lake: Lake, tmp_path: Path, keeps: bool) -> None:
    file, reference = tmp_path / "codes.csv", replace(REFERENCE, keeps=keeps)
    file.write_text("code,name\nA,Alpha\n")
    load_reference(lake, reference, tmp_path)
    file.unlink()
    file.mkdir()
    assert is_outdated(lake, reference, tmp_path)
    report = load_reference(lake, reference, tmp_path)
    assert report.written == Written()
    assert [problem.startswith(f"{file} cannot be read") for problem in report.problems] == [True]
    assert content(lake, CODES) == {("A", "Alpha")}
    assert not is_outdated(lake, reference, tmp_path), "it is told once"
    file.rmdir()
    file.write_text("code,name\nB,Beta\n")
    assert is_outdated(lake, reference, tmp_path)
    assert load_reference(lake, reference, tmp_path).written == Written(inserted=1, deleted=1)


def test_a_transform_is_told_in_which_order_the_rows_stand(lake: Lake, tmp_path: Path) -> None:
    last = F.max_by("name", LINE).alias("name")
    reference = replace(REFERENCE, transform=lambda lines: lines.groupBy("code").agg(last))
    (tmp_path / "codes.csv").write_text("code,name\n" + "".join(f"A,{n}\nB,{-n}\n" for n in range(50)))
    load_reference(lake, reference, tmp_path)
    assert content(lake, CODES) == {("A", "49"), ("B", "-49")}
