"""Which stretch of time a demo simulates: the week up to now at first, then what has passed since."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path

DAYS = 7
SHORTEST = timedelta(minutes=1)


@dataclass(frozen=True)
class Stretch:
    """A stretch of time (ISO 8601, UTC), and whether its events were all sent. One that was interrupted is sent again,
    with the same bytes: what arrives twice counts once."""

    start: str
    until: str
    sent: bool = False

    @property
    def first(self) -> datetime:
        return datetime.fromisoformat(self.start)

    @property
    def last(self) -> datetime:
        return datetime.fromisoformat(self.until)

    @property
    def days(self) -> float:
        return (self.last - self.first) / timedelta(days=1)


def next_stretch(file: Path) -> Stretch | None:
    """The stretch that is to be simulated now, remembered in the file; None where hardly any time has passed."""
    now = datetime.now(timezone.utc).replace(microsecond=0)
    known = Stretch(**json.loads(file.read_text())) if file.exists() else None
    if known is not None and not known.sent:
        return known
    week = now - timedelta(days=DAYS)
    start = week if known is None else max(known.last, week)
    if now - start < SHORTEST:
        return None
    stretch = Stretch(start.isoformat(), now.isoformat())
    _write(file, stretch)
    return stretch


def record_sent(file: Path, stretch: Stretch) -> None:
    """Remember that the stretch's events were all sent."""
    _write(file, Stretch(stretch.start, stretch.until, sent=True))


def _write(file: Path, stretch: Stretch) -> None:
    draft = file.with_name(f"{file.name}.new")
    draft.write_text(json.dumps(asdict(stretch)))
    draft.replace(file)
