from __future__ import annotations

import time
from types import SimpleNamespace

import pytest

from music_lakehouse.lakehouse.kafka import await_topics


class Broker:
    """Tells of one more topic each time it is asked, as one does that learns of them late: a real one is mostly too
    fast for that to be seen."""

    def __init__(self, *topics: str) -> None:
        self._topics, self.asked = topics, 0

    def list_topics(self, timeout: float) -> SimpleNamespace:
        assert timeout > 0
        self.asked += 1
        return SimpleNamespace(topics=dict.fromkeys(self._topics[: self.asked]))


def test_topics_that_were_made_are_awaited_until_the_broker_tells_of_them() -> None:
    broker = Broker("one", "two", "three")
    await_topics(broker, ["two", "one"], time.monotonic() + 10)  # type: ignore[arg-type]
    assert broker.asked == 2


def test_topics_that_never_come_are_waited_for_no_longer_than_allowed() -> None:
    with pytest.raises(TimeoutError, match="no broker tells of two"):
        await_topics(Broker("one"), ["two"], time.monotonic() + 0.3)  # type: ignore[arg-type]
