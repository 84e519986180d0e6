"""The resources of a code location or a test, from settings."""

from __future__ import annotations

from typing import Any

from music_lakehouse.lakehouse.remote_spark import without_secrets
from music_lakehouse.resources.database import CatalogueDatabase
from music_lakehouse.resources.files import Landing, ReferenceFiles
from music_lakehouse.resources.kafka import KafkaResource
from music_lakehouse.resources.lakehouse import LakehouseResource
from music_lakehouse.resources.spark import SparkResource
from music_lakehouse.settings import Settings


def build_resources(settings: Settings) -> dict[str, Any]:
    """Dagster resources by name; nothing is started or opened."""
    remote = settings.spark_remote and without_secrets(settings.spark_remote)
    spark = SparkResource(master=settings.spark_master, remote=remote, lake_root=settings.lake_uri)
    return {
        "spark": spark,
        "lakehouse": LakehouseResource(spark=spark, root=settings.lake_uri),
        "kafka": KafkaResource(
            bootstrap_servers=settings.kafka_bootstrap_servers, topic_prefix=settings.kafka_topic_prefix
        ),
        "reference_files": ReferenceFiles(directory=str(settings.reference_root.absolute())),
        "catalogue_database": CatalogueDatabase(),
        "landing": Landing(
            directory=str(settings.landing_root.absolute()),
            most_files={"heart_rate/recordings": settings.heart_rate_max_files_per_trigger},
        ),
    }
