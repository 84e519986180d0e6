"""Dagster resources: Spark, the lake, Kafka."""
