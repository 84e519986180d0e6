"""A music-streaming lakehouse on Kafka, Spark Structured Streaming, Delta Lake and Dagster."""
