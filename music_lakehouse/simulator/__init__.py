"""Real input without a music service: a seeded event generator and a real Kafka broker to send it to."""
