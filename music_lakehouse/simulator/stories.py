"""Turns that a real service shows but the plain model rarely or never takes. They are part of the users' own story, so
that all topics tell the same; most belong to dirty data."""

from __future__ import annotations

from random import Random

from music_lakehouse.simulator.config import SimulatorConfig

# How often each turn is taken, as a part of the share of dirty data.
PLANS_A_SESSION = 0.5
REUSED_NUMBERS_A_SESSION = 0.5
SAME_INSTANTS_AN_EVENT = 0.25

_UP = ("NextSong", "Upgrade", "Submit Upgrade", "Home")
_DOWN = ("NextSong", "Downgrade", "Submit Downgrade", "Home")
_ONE_CHANGE = {"Logged In/free": (*_UP, "NextSong"), "Logged In/paid": (*_DOWN, "NextSong")}
# To the other level and back, twice, so that the share of paying users stays as it is.
_FOUR_CHANGES = {"Logged In/free": (*_UP, *_DOWN) * 2, "Logged In/paid": (*_DOWN, *_UP) * 2}


class Stories:
    """Decides when a turn is taken, with random numbers of its own."""

    def __init__(self, config: SimulatorConfig) -> None:
        self._share = config.dirty
        self._level_changes = config.extra_level_changes
        self._rng = Random(f"stories {config.seed}")

    def plan(self, account: str) -> tuple[str, ...]:
        """The pages that a session which begins at Home must visit, mostly none: one change of level, or in dirty data
        four within minutes."""
        if self._happens(PLANS_A_SESSION):
            return _FOUR_CHANGES.get(account, ())
        if self._level_changes > 0 and self._rng.random() < self._level_changes:
            return _ONE_CHANGE.get(account, ())
        return ()

    def session_number(self, number: int) -> int:
        """The number of a session: its own, or one that was used before, as after the producer's restart."""
        return 1 + int(self._rng.random() * number) if self._happens(REUSED_NUMBERS_A_SESSION) else number

    def same_instant(self) -> bool:
        """Whether a user's next event has the time of the one before."""
        return self._happens(SAME_INSTANTS_AN_EVENT)

    def _happens(self, part: float) -> bool:
        return self._share > 0 and self._rng.random() < self._share * part
