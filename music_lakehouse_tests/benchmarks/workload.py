"""The workload: listen events of the simulator in one topic of two partitions."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timezone
from itertools import islice

from music_lakehouse.settings import Settings
from music_lakehouse.simulator.config import SimulatorConfig
from music_lakehouse.simulator.messages import LISTEN, Message
from music_lakehouse.simulator.simulation import simulate
from music_lakehouse.simulator.sinks import to_kafka

START = datetime(2025, 1, 1, tzinfo=timezone.utc)
USERS = 8_600
EVENTS_A_DAY = 33_334
MARGIN_DAYS = 40


class Workload:
    """One endless stream of listen events at about 33,000 a day, sent piece by piece: what is sent later is newer."""

    def __init__(self, settings: Settings, *, days: int, seed: int) -> None:
        # About two level changes a user and a million listens in 30 days.
        config = SimulatorConfig(
            users=USERS, start=START, days=days + MARGIN_DAYS, seed=seed, beta=600_000, extra_level_changes=0.27
        )
        self._settings = settings
        self._listens: Iterator[Message] = (message for message in simulate(config) if message.topic == LISTEN)

    def send(self, events: int) -> int:
        """Send the next listen events and return how many there were."""
        return to_kafka(islice(self._listens, events), self._settings).get(LISTEN, 0)
