"""The people who use the service: who they are, how eager, and where each stands in a session."""

from __future__ import annotations

import json
import math
from random import Random
from statistics import NormalDist

from music_lakehouse.simulator.catalogue import Song
from music_lakehouse.simulator.clock import DAY
from music_lakehouse.simulator.config import SimulatorConfig
from music_lakehouse.simulator.places import cities
from music_lakehouse.simulator.state_machine import State, state_machine
from music_lakehouse.simulator.weighted import Weighted, read_rows

YEAR = 365 * DAY
LONGEST_MEMBERSHIP = 5 * YEAR
_NORMAL = NormalDist()


class User:
    """A user with one device and one home for life, and the session that the user is in or begins next.

    `hidden_text` is the user's part of an event's JSON text while logged out, `shown_text` the one with name and id.
    `alpha` and `beta` are the user's mean seconds between events and between sessions.
    """

    __slots__ = (
        "after_login",
        "alpha",
        "beta",
        "hidden_text",
        "item",
        "number",
        "plan",
        "session",
        "shown_text",
        "song",
        "song_end",
        "state",
    )

    def __init__(self, number: int, alpha: float, beta: float, hidden_text: str, shown_text: str, state: State) -> None:
        self.number = number
        self.alpha = alpha
        self.beta = beta
        self.hidden_text = hidden_text
        self.shown_text = shown_text
        self.state = state
        self.session = 0
        self.item = 0
        self.after_login = False
        self.song: Song | None = None
        self.song_end = 0
        self.plan: tuple[str, ...] = ()


class Population:
    """Makes the users of a run, numbered from `first_user_id` + 1. Who a user is follows from the seed and the number:
    in runs that follow each other it is the same person."""

    def __init__(self, config: SimulatorConfig, rng: Random) -> None:
        self._config = config
        self._rng = rng
        self._machine = state_machine()
        self._first_names = Weighted(
            ((row["name"], row["gender"]), float(row["weight"])) for row in read_rows("first_names.csv")
        )
        self._surnames = Weighted((row["name"], float(row["weight"])) for row in read_rows("surnames.csv"))
        self._agents = Weighted((row["agent"], float(row["weight"])) for row in read_rows("user_agents.csv"))
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def member(self, start_ms: int) -> User:
        """A user who registered before the run began, on the day it began where there is no growth."""
        growth = self._config.growth_rate
        longest = min(growth * YEAR * -math.log(1 - self._rng.random()), LONGEST_MEMBERSHIP)
        account = f"{self._machine.auths.pick(self._rng)}/{self._machine.levels.pick(self._rng)}"
        return self._user(account, start_ms - int(longest) * 1000)

    def newcomer(self, registration_ms: int) -> User:
        """A user who comes during the run: a guest, free."""
        return self._user("Guest/free", registration_ms)

    def seconds_to_next(self) -> float:
        """How long until the next newcomer, infinite without growth."""
        growth = self._config.growth_rate
        if growth == 0:
            return math.inf
        return YEAR / (max(self._count, 1) * growth) * -math.log(1 - self._rng.random())

    def _user(self, account: str, registration_ms: int) -> User:
        config = self._config
        self._count += 1
        number = config.first_user_id + self._count
        rng = Random(f"user {number} of {config.seed}")
        (first_name, gender), surname = self._first_names.pick(rng), self._surnames.pick(rng)
        city = cities().pick(rng)
        place = {
            "city": city.name,
            "zip": city.zip_code,
            "state": city.state,
            "userAgent": self._agents.pick(rng),
            "lon": city.longitude,
            "lat": city.latitude,
        }
        person = {
            "userId": number,
            "lastName": surname,
            "firstName": first_name,
            "gender": gender,
            "registration": registration_ms,
        }
        if config.tag is not None:
            person["tag"] = config.tag
        return User(
            number,
            alpha=config.alpha * _eagerness(rng),
            beta=config.beta * _eagerness(rng),
            hidden_text=_members(place),
            shown_text=_members(place | person),
            state=self._machine.first_pages[account].pick(self._rng),
        )


def _eagerness(rng: Random) -> float:
    """Log-normal with mean 1. A draw of exactly 0 has no normal quantile."""
    return math.exp(_NORMAL.inv_cdf(max(rng.random(), 1e-12)) - 0.5)


def _members(values: dict[str, object]) -> str:
    return json.dumps(values, ensure_ascii=False, separators=(",", ":"))[1:-1]
