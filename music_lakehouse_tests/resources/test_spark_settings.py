"""What a Spark is started with, by where it runs and where its lake lies; nothing is started here."""

from __future__ import annotations

import os

import pytest

from music_lakehouse.jars import s3_jars
from music_lakehouse.resources.s3a import s3a_settings
from music_lakehouse.resources.spark import SHUFFLE_PARTITIONS, cores_of, driver_settings, session_settings
from music_lakehouse.settings import Settings

STORE = {
    "AWS_ENDPOINT_URL": "http://127.0.0.1:9000",
    "AWS_REGION": "eu-central-1",
    "AWS_ACCESS_KEY_ID": "somebody",
    "AWS_SECRET_ACCESS_KEY": "hidden",
    "AWS_SESSION_TOKEN": "short-lived",
}
CLUSTERS = [
    "spark://127.0.0.1:7077",
    "spark://one:7077,two:7077",
    "yarn",
    "k8s://https://host:443",
    "local-cluster[2,1,1024]",
]


@pytest.mark.parametrize(
    ("master", "cores"), [("local", 1), ("local[3]", 3), ("local[3,1]", 3), ("local[*]", os.cpu_count()), (None, None)]
)
def test_a_master_on_this_machine_has_as_many_cores_as_it_says(master: str | None, cores: int | None) -> None:
    assert cores_of(master) == cores


@pytest.mark.parametrize("master", CLUSTERS)
def test_a_cluster_keeps_its_own_parallelism(master: str) -> None:
    assert cores_of(master) is None
    assert SHUFFLE_PARTITIONS not in session_settings(master)
    assert "spark.buffer.pageSize" not in driver_settings(master)
    assert session_settings("local[3]")[SHUFFLE_PARTITIONS] == "3"


def test_only_executors_on_other_machines_reach_the_driver() -> None:
    def host(master: str) -> str | None:
        return driver_settings(master).get("spark.driver.host")

    assert {host(master) for master in ("local[2]", "spark://127.0.0.1:7077", "spark://localhost:7077")} == {
        "127.0.0.1"
    }
    assert {host(master) for master in ("spark://one:7077", "yarn")} == {None}


@pytest.mark.parametrize("root", ["s3://bucket/lake", "s3a://bucket/lake/"])
def test_a_lake_in_s3_has_one_name_however_it_is_spelled(root: str) -> None:
    assert Settings(lakehouse_root=root).lake_uri == "s3a://bucket/lake"


def test_what_reaches_s3_is_handed_over_only_where_the_lake_lies_there() -> None:
    on_disk, in_s3 = driver_settings(lake_root="/lake"), driver_settings(lake_root="s3a://bucket/lake")

    added = {*in_s3["spark.jars"].split(",")} - {*on_disk["spark.jars"].split(",")}
    assert added == {str(jar) for jar in s3_jars()}
    assert not [name for name in on_disk if "s3a" in name]


def test_the_store_is_told_as_delta_rs_is_and_no_secret_with_it() -> None:
    settings = s3a_settings(STORE)

    assert settings["spark.hadoop.fs.s3a.endpoint"] == "http://127.0.0.1:9000"
    assert settings["spark.hadoop.fs.s3a.endpoint.region"] == "eu-central-1"
    assert settings["spark.hadoop.fs.s3a.path.style.access"] == "true"
    virtual = s3a_settings({**STORE, "AWS_VIRTUAL_HOSTED_STYLE_REQUEST": "true"})
    assert virtual["spark.hadoop.fs.s3a.path.style.access"] == "false"
    assert not {"somebody", "hidden", "short-lived"} & {*settings.values()}


def test_amazons_own_store_needs_no_settings_but_credentials() -> None:
    assert [*s3a_settings({})] == ["spark.hadoop.fs.s3a.aws.credentials.provider"]
