from __future__ import annotations

from hashlib import sha256
from pathlib import Path

import pytest
from pyspark.errors import AnalysisException
from pyspark.sql import SparkSession

from music_lakehouse.defs.catalog import TABLES
from music_lakehouse.defs.heart_rate.tables import DIM_PATIENTS, HEART_RATE_BY_PATIENT, HEART_RATE_HOURLY
from music_lakehouse.lakehouse.lake import Lake
from music_lakehouse.lakehouse.positions import POSITIONS
from music_lakehouse.lakehouse.records import append_records
from music_lakehouse.lakehouse.sql_names import register_tables
from music_lakehouse.resources.spark import SparkResource

pytestmark = pytest.mark.spark


def names_in(spark: SparkSession, layer: str) -> set[str]:
    return {f"{layer}.{row['tableName']}" for row in spark.sql(f"SHOW TABLES IN {layer}").collect()}


def counted(spark: SparkSession, name: str) -> int:
    return spark.sql(f"SELECT * FROM {name}").count()


def add_people(lake: Lake, *numbers: int) -> None:
    lake.create(DIM_PATIENTS)
    lake.append(lake.spark.createDataFrame([(number, "Anna") for number in numbers], DIM_PATIENTS.ddl), DIM_PATIENTS)


def test_a_session_for_people_knows_every_table_by_its_name_and_leaves_nothing_on_disk(
    spark: SparkSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lake = Lake(str(tmp_path / "it's a lake"), spark)
    for table in (*TABLES.values(),)[::6]:
        lake.create(table)
    add_people(lake, 1, 2)
    before = sorted(tmp_path.rglob("*"))
    monkeypatch.setenv("LAKEHOUSE_ROOT", lake.root)

    session = SparkResource().sql_session()

    made = {table.full_name for table in (*TABLES.values(),)[::6]} | {DIM_PATIENTS.full_name}
    assert set().union(*(names_in(session, layer) for layer in ("raw", "bronze", "silver", "gold"))) == made
    assert counted(session, DIM_PATIENTS.full_name) == 2
    assert sorted(tmp_path.rglob("*")) == before, "nothing is written into the lake"
    assert not [path for path in ("spark-warehouse", "metastore_db", "derby.log") if Path(path).exists()]


def test_a_session_of_the_resource_knows_the_tables_that_a_statement_names(
    spark: SparkSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lake = Lake(str(tmp_path / "it's a lake"), spark)
    lake.create(HEART_RATE_BY_PATIENT)
    add_people(lake, 1, 2)
    monkeypatch.setenv("LAKEHOUSE_ROOT", lake.root)
    resource = SparkResource()
    session = resource.spark_session
    session.sql("DROP SCHEMA IF EXISTS bronze CASCADE")
    session.sql("DROP SCHEMA IF EXISTS gold CASCADE")

    session.sql(f"SELECT 'gold.x' FROM delta.`{lake.path(DIM_PATIENTS)}`")
    assert not session.catalog.databaseExists("gold"), "no table is named"
    assert names_in(session, "gold") == {HEART_RATE_BY_PATIENT.full_name}
    rows = session.sql("SELECT mrn FROM Bronze.`dim_patients` p LEFT JOIN gold.heart_rate_by_patient USING (mrn)")
    assert rows.count() == 2
    lake.create(HEART_RATE_HOURLY)
    assert names_in(session, "gold") == {HEART_RATE_BY_PATIENT.full_name, HEART_RATE_HOURLY.full_name}
    Path(lake.path(HEART_RATE_HOURLY)).rename(tmp_path / "away")
    assert names_in(session, "gold") == {HEART_RATE_BY_PATIENT.full_name}
    add_people(lake, 3)
    assert counted(session, DIM_PATIENTS.full_name) == 3, "what is committed later is seen"
    session.sql("DROP TABLE bronze.dim_patients")
    assert counted(session, DIM_PATIENTS.full_name) == 3, "to drop a name drops no data"
    with pytest.raises(AnalysisException, match="TABLE_OR_VIEW_NOT_FOUND"):
        session.sql("SELECT * FROM gold.heart_rates")

    other = Lake(str(tmp_path / "other"), spark)
    add_people(other, 9)
    assert SparkResource(lake_root=other.root).spark_session.sql("SELECT mrn FROM bronze.dim_patients").first() == (9,)
    resource.close()
    assert "sql" not in vars(session)


def test_names_follow_the_lake_that_was_registered_last_and_can_be_dropped_without_harm(
    spark: SparkSession, tmp_path: Path
) -> None:
    first, second = (Lake(str(tmp_path / name), spark) for name in ("first", "second"))
    add_people(first, 1, 2)
    first.create(HEART_RATE_BY_PATIENT)
    assert register_tables(spark, first.root) == [DIM_PATIENTS.full_name, HEART_RATE_BY_PATIENT.full_name]
    add_people(second, 3)
    assert register_tables(spark, second.root) == [DIM_PATIENTS.full_name]
    assert counted(spark, DIM_PATIENTS.full_name) == 1
    assert names_in(spark, "gold") == set(), "the second lake has none there"
    add_people(second, 4)
    assert counted(spark, DIM_PATIENTS.full_name) == 2, "what is committed later is seen"
    spark.sql("DROP SCHEMA bronze CASCADE")
    assert second.rows(DIM_PATIENTS) == 2


def test_a_masked_session_has_views_without_personal_data_that_join_as_the_tables_do(
    spark: SparkSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lake = Lake(str(tmp_path / "lake"), spark)
    add_people(lake, 1, 2)
    lake.create(HEART_RATE_BY_PATIENT)
    append_records(lake, POSITIONS, [{"step": "s", "source": "t", "table_id": "i", "version": 1}])
    monkeypatch.setenv("MASKING_KEY", "it's a \\ key")

    session = SparkResource().sql_session(lake.root, masked=True)
    rows = session.sql("SELECT * FROM bronze.dim_patients ORDER BY mrn").collect()

    hashes = sorted(sha256(f"it's a \\ key|{number}".encode()).hexdigest() for number in (1, 2))
    assert [row.asDict() for row in rows] == [{"mrn": hashed, "name": None} for hashed in hashes]
    assert names_in(session, "gold") == {HEART_RATE_BY_PATIENT.full_name}
    assert session.sql("SHOW SCHEMAS LIKE 'metrics'").count() == 0 or names_in(session, "metrics") == set()
    assert SparkResource().sql_session(lake.root).sql("SELECT name FROM bronze.dim_patients").first() == ("Anna",)
    spark.sql("DROP SCHEMA bronze CASCADE")
