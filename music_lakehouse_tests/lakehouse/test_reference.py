from __future__ import annotations

from pathlib import Path

import pytest
from pyspark.sql import functions as F

from music_lakehouse.lakehouse.lake import Lake
from music_lakehouse.lakehouse.reference import Reference, load_reference
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
