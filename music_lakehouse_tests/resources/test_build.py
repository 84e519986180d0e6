from __future__ import annotations

import pytest

from music_lakehouse.lakehouse.remote_spark import with_secrets
from music_lakehouse.resources.build import build_resources
from music_lakehouse.settings import Settings


def test_what_is_secret_is_not_in_the_resources_that_dagster_shows(monkeypatch: pytest.MonkeyPatch) -> None:
    secrets = {
        "SPARK_REMOTE": "sc://spark.example:443/;use_ssl=true;token=S3cret",
        "KAFKA_SASL_PASSWORD": "S3cret",
        "CATALOGUE_DATABASE_URL": "postgresql://ann:S3cret@db/catalogue",
        "ALERT_WEBHOOK_URL": "https://hooks.example/S3cret",
    }
    for name, value in secrets.items():
        monkeypatch.setenv(name, value)

    resources = build_resources(Settings())

    assert "spark.example:443" in repr(resources["spark"].model_dump())
    assert "S3cret" not in "".join(repr(resource.model_dump()) for resource in resources.values())
    assert with_secrets(resources["spark"].remote) == secrets["SPARK_REMOTE"], "it is read at use"
    assert with_secrets("sc://other.example") == "sc://other.example"
