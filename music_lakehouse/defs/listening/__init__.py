"""The music app's events: from Kafka to gold."""
