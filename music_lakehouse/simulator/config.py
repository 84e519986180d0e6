"""What a simulation is told: its size, its times and the model's parameters."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone

# What a user brings about a day, over many users, with the parameters below.
EVENTS_PER_USER_DAY = 2.2


@dataclass(frozen=True, kw_only=True)
class SimulatorConfig:
    """One run of the simulator. The same values give the same bytes.

    The run goes from `start` for `days`, or until `events` events were made, whichever comes first; with neither it has
    no end. An event is what a user does at one time: a page view and its listen, status change or auth message are one.
    Times are UTC; `start` without a time zone is taken as UTC, and without a value it is set so that the run ends now.
    `growth_rate` and `attrition_rate` are a year and a user. The first user gets `first_user_id` + 1. `dirty` is the
    share of messages with a fault, `unknown_songs` the share of listens to songs that songs.csv lacks,
    `extra_level_changes` the share of a logged-in user's sessions that begin with a change of level, beyond those of
    the model. With `live_rate` the events keep their order and are stamped one after the other from `start`, so many a
    second: time is compressed, for sending at that pace (see `paced`). `alpha`, `beta` and `session_gap` are seconds,
    weekend offset and scale minutes; the defaults of these are eventsim's example.
    Raises ValueError where a value makes no sense.
    """

    users: int = 200
    start: datetime | None = None
    days: float | None = 7.0
    events: int | None = None
    seed: int = 1
    growth_rate: float = 0.0
    attrition_rate: float = 0.0
    first_user_id: int = 1
    tag: str | None = None
    dirty: float = 0.0
    live_rate: float | None = None
    unknown_songs: float = 0.02
    extra_level_changes: float = 0.0

    alpha: float = 90.0
    beta: float = 604_800.0
    damping: float = 0.09375
    weekend_damping: float = 0.5
    weekend_damping_offset: float = 180.0
    weekend_damping_scale: float = 360.0
    session_gap: int = 1800

    def __post_init__(self) -> None:
        for name, low, high in (
            ("users", 1, math.inf),
            ("days", 0, math.inf),
            ("events", 0, math.inf),
            ("growth_rate", 0, math.inf),
            ("attrition_rate", 0, math.inf),
            ("dirty", 0, 1),
            ("unknown_songs", 0, 1),
            ("extra_level_changes", 0, 1),
            ("damping", 0, 0.15),
            ("weekend_damping", 0, 0.99),
            ("session_gap", 1, math.inf),
        ):
            value = getattr(self, name)
            if value is not None and not low <= value <= high:
                raise ValueError(f"{name} is {value}: give a number from {low} to {high}")
        for name in ("alpha", "beta", "live_rate", "weekend_damping_scale"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise ValueError(f"{name} is {value}: give a number over 0")
        start = self.start
        if start is None:
            now = datetime.now(timezone.utc)
            start = now if self.live_rate else now - timedelta(days=self.days or 0)
        elif start.tzinfo is None:
            start = start.replace(tzinfo=timezone.utc)
        object.__setattr__(self, "start", start)

    @property
    def start_ms(self) -> int:
        """The start in epoch milliseconds."""
        assert self.start is not None
        return round(self.start.timestamp() * 1000)


def users_for(events: int, days: float) -> int:
    """How many users make at least `events` events in `days` days: a third to spare, and of few users some more, as few
    differ more from what they do on average."""
    return math.ceil(events / (days * EVENTS_PER_USER_DAY) * 1.33) + 50
