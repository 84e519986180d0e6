"""The pages of the service and how users go from one to the next: `tables/state_machine.json`, as objects."""

from __future__ import annotations

import re
from bisect import bisect
from functools import lru_cache
from itertools import accumulate
from random import Random

from music_lakehouse.simulator.weighted import Weighted, read_json

_TARGET = re.compile(r"(?P<page>[^\[]+?)(?: \[(?P<account>.+)\])?")


class State:
    """A page as a user in one account state (auth and level) sees it."""

    __slots__ = (
        "_bounds",
        "_next_states",
        "account",
        "account_text",
        "auth",
        "auth_text",
        "changes_level",
        "is_login",
        "is_redirect",
        "is_song",
        "level",
        "page",
        "page_text",
        "shows_user",
    )

    def __init__(self, page: str, account: str, method: str, status: int, *, shows_user: bool) -> None:
        self.page = page
        self.account = account
        self.auth, self.level = account.split("/")
        self.shows_user = shows_user
        self.is_song = page == "NextSong"
        self.is_login = page == "Login"
        self.is_redirect = 300 <= status < 400
        self.changes_level = page in ("Submit Upgrade", "Submit Downgrade")
        # Parts of the JSON text of events, prepared once.
        self.account_text = f'"auth":"{self.auth}","level":"{self.level}"'
        self.page_text = f'"page":"{page}","method":"{method}","status":{status},{self.account_text}'
        self.auth_text = f'"success":{"true" if self.auth == "Logged In" else "false"},"level":"{self.level}"'
        self._bounds: list[float] = []
        self._next_states: list[State | None] = [None]

    def lead_to(self, next_states: list[tuple[State, float]]) -> None:
        """Sets the states that follow, each with its probability; what is missing to 1 ends the session."""
        self._bounds = [round(total, 12) for total in accumulate(p for _, p in next_states)]
        self._next_states = [*(state for state, _ in next_states), None]

    @property
    def transitions(self) -> list[tuple[State, float]]:
        """The states that may follow, each with its probability."""
        before = [0.0, *self._bounds]
        return [
            (state, high - low)
            for state, low, high in zip(self._next_states, before, self._bounds, strict=False)
            if state is not None
        ]

    def draw_next(self, rng: Random) -> State | None:
        """The state that follows, None where the session ends."""
        return self._next_states[bisect(self._bounds, rng.random())]

    def step_to(self, page: str) -> State:
        """The first of the states that may follow and show `page`. Raises KeyError where none does."""
        for state, _ in self.transitions:
            if state.page == page:
                return state
        raise KeyError(f"{page} doesn't follow {self.page} of {self.account}")


class StateMachine:
    """All states, and the draws with which users and sessions begin."""

    def __init__(self) -> None:
        tables = read_json("state_machine.json")
        self._pages: dict[str, tuple[str, int]] = tables["pages"]
        self._shown = frozenset(tables["shown"])
        self.states: dict[tuple[str, str], State] = {}
        for account, sources in tables["transitions"].items():
            for page, targets in sources.items():
                self.state(account, page).lead_to([(self._target(account, name), p) for name, p in targets.items()])
        self.auths = Weighted[str](tables["auths"].items())
        self.levels = Weighted[str](tables["levels"].items())
        self.first_pages = {
            account: Weighted((self.state(account, page), weight) for page, weight in pages.items())
            for account, pages in tables["new_session"].items()
        }

    def state(self, account: str, page: str) -> State:
        """The state of a page for an account such as `Logged In/free`."""
        if (account, page) not in self.states:
            method, status = self._pages[page]
            shows_user = account.split("/")[0] in self._shown
            self.states[account, page] = State(page, account, method, status, shows_user=shows_user)
        return self.states[account, page]

    def _target(self, account: str, name: str) -> State:
        match = _TARGET.fullmatch(name)
        assert match is not None, name
        return self.state(match["account"] or account, match["page"])


@lru_cache(maxsize=1)
def state_machine() -> StateMachine:
    """The state machine, built once a process; nothing changes it."""
    return StateMachine()
