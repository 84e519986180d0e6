"""The simulation: users go from page to page, and each event becomes messages of up to four topics."""

from __future__ import annotations

import math
from collections.abc import Iterator
from heapq import heappop, heappush, heapreplace
from random import Random

from music_lakehouse.simulator.catalogue import catalogue
from music_lakehouse.simulator.clock import DAY, Clock, exponential
from music_lakehouse.simulator.config import SimulatorConfig
from music_lakehouse.simulator.faults import with_faults
from music_lakehouse.simulator.messages import AUTH, LISTEN, PAGE_VIEW, STATUS_CHANGE, Message
from music_lakehouse.simulator.state_machine import State, state_machine
from music_lakehouse.simulator.stories import Stories
from music_lakehouse.simulator.users import YEAR, Population, User


def simulate(config: SimulatorConfig) -> Iterator[Message]:
    """The messages of a run, in the order in which they are sent: by the events' times, but for what `dirty` delays.

    The same config gives the same bytes. Memory grows with the number of users, not with the length of the run.
    """
    messages = _Simulation(config).messages()
    return with_faults(messages, config.dirty, config.seed) if config.dirty else messages


class _Simulation:
    """The state of one run. Times inside are whole epoch seconds; all events share the milliseconds of the start."""

    def __init__(self, config: SimulatorConfig) -> None:
        self._config = config
        self._rng = Random(config.seed)
        self._clock = Clock(config)
        self._machine = state_machine()
        self._population = Population(config, self._rng)
        self._stories = Stories(config)
        self._songs = catalogue().popularity(config.unknown_songs)
        self._start, self._milliseconds = divmod(config.start_ms, 1000)

    def messages(self) -> Iterator[Message]:
        """Runs the simulation."""
        config = self._config
        seconds = math.inf if config.days is None else config.days * DAY
        end, limit = self._start + seconds, math.inf if config.events is None else config.events
        milliseconds_an_event = 1000 / config.live_rate if config.live_rate else None
        if config.live_rate:
            # It ends by the clock, whatever time it is for its users.
            end, limit = math.inf, min(limit, seconds * config.live_rate)
        queue = self._first_queue()
        next_newcomer = self._start + self._population.seconds_to_next()
        events = sessions = 0
        ts = config.start_ms
        while events < limit:
            at, _, user = queue[0] if queue else (math.inf, 0, None)
            if next_newcomer <= at and next_newcomer < end:
                now_ms = ts if milliseconds_an_event else int(next_newcomer) * 1000 + self._milliseconds
                self._enter(queue, self._population.newcomer(now_ms), int(next_newcomer))
                next_newcomer += self._population.seconds_to_next()
                continue
            if user is None or at >= end:
                return
            if user.item == 0:
                sessions += 1
                user.session = self._stories.session_number(sessions)
            if milliseconds_an_event:
                ts = config.start_ms + int(events * milliseconds_an_event)
            else:
                ts = int(at) * 1000 + self._milliseconds
            yield from _event(user, ts)
            events += 1
            following = self._step(user, int(at))
            if following is None:
                heappop(queue)
            else:
                heapreplace(queue, (following, user.number, user))

    def _first_queue(self) -> list[tuple[float, int, User]]:
        queue: list[tuple[float, int, User]] = []
        for _ in range(self._config.users):
            self._enter(queue, self._population.member(self._config.start_ms), self._start)
        return queue

    def _enter(self, queue: list[tuple[float, int, User]], user: User, start: int) -> None:
        """Puts a user in the queue, at the first session that begins at `start` or later: sessions that would have
        begun before it pass unseen, to their end."""
        first = self._clock.first_session(start, user.beta, self._rng)
        self._begin_song(user, first)
        at: int | None = first
        while at is not None and (at < start or user.item > 0):
            at = self._step(user, at)
        if at is not None:
            heappush(queue, (at, user.number, user))

    def _step(self, user: User, now: int) -> int | None:
        """Leads a user to the next event and returns its time, None where the user is gone for good."""
        state, rng = user.state, self._rng
        following: State | None
        if user.plan:
            following, user.plan = state.step_to(user.plan[0]), user.plan[1:]
        else:
            following = state.draw_next(rng)
        if following is None:
            return self._next_session(user, now)
        user.item += 1
        user.state = following
        if following.is_redirect:
            # A redirect leaves no trace in what is remembered of the page before: a Login that follows a failed
            # Login's landing is itself an event after a Login.
            return now + 1
        user.after_login = state.is_login
        if following.is_song:
            at = user.song_end if user.song is not None and now < user.song_end else now + exponential(user.alpha, rng)
            self._begin_song(user, at)
            return at
        gap = exponential(user.alpha, rng)
        if following.account != state.account:
            # Nobody is two things at one time.
            return now + max(gap, 1)
        return now if self._stories.same_instant() else now + gap

    def _next_session(self, user: User, now: int) -> int | None:
        account, rng = user.state.account, self._rng
        if account not in self._machine.first_pages:
            return None
        at = self._clock.next_session(now, user.beta, rng)
        if self._config.attrition_rate and rng.random() < self._config.attrition_rate * (at - now) / YEAR:
            return None
        user.item = 0
        user.after_login = False
        user.song = None
        user.state = self._machine.first_pages[account].pick(rng)
        user.plan = self._stories.plan(account)
        if user.plan:
            user.state = self._machine.state(account, "Home")
        self._begin_song(user, at)
        return at

    def _begin_song(self, user: User, at: int) -> None:
        if user.state.is_song:
            user.song = self._songs.pick(self._rng)
            user.song_end = at + user.song.whole_seconds


def _event(user: User, ts: int) -> list[Message]:
    """The messages of what a user does at `ts` (epoch milliseconds), put together from prepared parts."""
    state = user.state
    head = f'{{"ts":{ts},"sessionId":{user.session},"itemInSession":{user.item},'
    tail = user.shown_text if state.shows_user else user.hidden_text
    if user.song is not None and state.is_song:
        tail = f"{tail},{user.song.text}"
    account = f"{head}{state.account_text},{tail}}}\n".encode()
    messages = [Message(PAGE_VIEW, f"{head}{state.page_text},{tail}}}\n".encode(), ts)]
    if state.is_song:
        messages.append(Message(LISTEN, account, ts))
    if state.changes_level:
        messages.append(Message(STATUS_CHANGE, account, ts))
    if user.after_login:
        messages.append(Message(AUTH, f"{head}{state.auth_text},{tail}}}\n".encode(), ts))
    return messages
